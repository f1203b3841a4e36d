import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["copy-configs", *sys.argv[1:]])
