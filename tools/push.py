import sys

from resdet.__main__ import program

if __name__ == "__main__":
    program(["push", *sys.argv[1:]])
