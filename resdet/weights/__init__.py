"""Weights of other projects and our own: read a file, load it into a model, export it under another project's names."""
