import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["export-weights", *sys.argv[1:]])
