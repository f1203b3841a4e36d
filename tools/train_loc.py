import sys

from resdet.__main__ import program

if __name__ == "__main__":
    program(["train-loc", *sys.argv[1:]])
