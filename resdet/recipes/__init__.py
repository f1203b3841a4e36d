"""Runs from a config: training, testing and prediction of classifiers, detectors and localizers."""
