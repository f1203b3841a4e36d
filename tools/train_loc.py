import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["train-loc", *sys.argv[1:]])
