"""Checks of whole data sets that report all problems at once."""
