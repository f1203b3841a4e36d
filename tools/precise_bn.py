import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["precise-bn", *sys.argv[1:]])
