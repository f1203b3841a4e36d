import sys

from resdet.cli.interrupts import end_at_once_on_interrupt

if __name__ == "__main__":
    end_at_once_on_interrupt()
    from resdet.cli.main import run_process

    run_process(["to-fiftyone", *sys.argv[1:]])
