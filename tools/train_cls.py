import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["train-cls", *sys.argv[1:]])
