import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["plot-errors", *sys.argv[1:]])
