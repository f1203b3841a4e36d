import sys

from resdet.cli.main import main

if __name__ == "__main__":
    main(["eval-coco", *sys.argv[1:]])
