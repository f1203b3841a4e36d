"""What the subcommands share once their arguments are parsed."""
