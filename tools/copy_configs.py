import sys

from resdet.__main__ import program

if __name__ == "__main__":
    program(["copy-configs", *sys.argv[1:]])
