"""The embedded data sets: drawn shapes, for demonstrations and tests."""
