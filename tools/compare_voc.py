import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["compare-voc", *sys.argv[1:]])
