"""What a run is: train a classifier or a detector, evaluate, predict. Reads top-down like the paper."""
