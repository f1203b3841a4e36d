"""`python -m resdet SUBCOMMAND` is the command `resdet SUBCOMMAND`."""

from resdet.cli.main import main

if __name__ == "__main__":
    main()
