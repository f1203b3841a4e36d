"""A detector's run: train, evaluate, predict, compare."""
