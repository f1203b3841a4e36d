import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["train-cls", *sys.argv[1:]])
