"""`python -m resdet SUBCOMMAND` is the command `resdet SUBCOMMAND`."""

from resdet.cli.main import program

if __name__ == "__main__":
    program()
