import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["inspect-data", *sys.argv[1:]])
