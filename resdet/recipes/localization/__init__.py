"""Localizers and their R-CNN stage: build, train, evaluate, score files, write the page."""
