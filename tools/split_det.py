import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["split-det", *sys.argv[1:]])
