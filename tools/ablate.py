import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["ablate", *sys.argv[1:]])
