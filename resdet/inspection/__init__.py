"""Checks of a whole data set, which name every fault."""
