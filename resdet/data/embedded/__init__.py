"""The embedded sets: drawn shapes, for demonstrations and tests."""
