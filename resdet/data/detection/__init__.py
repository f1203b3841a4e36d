"""Detection data sets, their file formats, and how they are fed."""
