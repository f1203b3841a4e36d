"""Training, testing and prediction of detectors."""
