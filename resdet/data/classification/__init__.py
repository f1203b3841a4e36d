"""Classification data sets and how they are fed."""
