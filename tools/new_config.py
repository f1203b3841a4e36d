import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["new-config", *sys.argv[1:]])
