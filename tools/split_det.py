import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["split-det", *sys.argv[1:]])
