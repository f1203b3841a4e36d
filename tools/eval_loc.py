import sys

from resdet.cli.main import program

if __name__ == "__main__":
    program(["eval-loc", *sys.argv[1:]])
