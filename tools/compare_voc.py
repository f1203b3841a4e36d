import sys

from resdet.__main__ import program

if __name__ == "__main__":
    program(["compare-voc", *sys.argv[1:]])
