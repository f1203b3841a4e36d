"""A localizer's run and its R-CNN stage's: build, train, evaluate."""
