"""Readers of data sets, transforms and loading: every file format is parsed here."""
