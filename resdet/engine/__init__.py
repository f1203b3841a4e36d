"""What is the same for every task: configs, the training loop, schedules, precision, checkpoints, processes, logs."""
