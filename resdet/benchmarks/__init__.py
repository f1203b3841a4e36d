"""Speed of detectors, classifiers and their data loading, and accuracy of detectors, compared with torchvision."""
