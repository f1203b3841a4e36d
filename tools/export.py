import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["export", *sys.argv[1:]])
