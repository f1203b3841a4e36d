"""What all loaders share: workers end with their process."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler
from resdet.errors import UserError

class Damaged:
    def __len__(self):
        return 6

    def __getitem__(self, draw):
        raise UserError("unreadable")

try:
    next(iter(make_loader(Damaged(), TrainSampler(6, 6, seed=0), list, 2, False)))
except UserError as error:
    kept = error  # with its traceback, which holds the iterator
    raise SystemExit(2)
"""


def test_a_process_ends_although_an_error_keeps_its_loader() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240)
    assert found.returncode == 2, found.stderr
    assert not found.stderr
