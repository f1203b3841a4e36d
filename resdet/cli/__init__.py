"""Arguments, help, one-line errors with exit code 2."""
