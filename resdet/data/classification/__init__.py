"""Classification data sets and their loading."""
