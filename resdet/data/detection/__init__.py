"""Detection data sets, their file formats and their loading."""
