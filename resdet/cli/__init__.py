"""The command `resdet`: subcommands, their arguments and help, and one-line errors with exit code 2."""
