"""What each subcommand does once its arguments are parsed: `run(args)`. Imported only when it runs."""
