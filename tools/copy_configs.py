import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["copy-configs", *sys.argv[1:]])
