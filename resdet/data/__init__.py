"""Data sets, transforms and loading; every file format is read and written here."""
