import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["export-weights", *sys.argv[1:]])
