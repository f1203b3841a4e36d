"""How a run runs: build from a config, the training loop, precision, checkpoints, processes, logging."""
