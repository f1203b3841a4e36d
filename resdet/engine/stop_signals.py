"""Defer SIGINT (Ctrl-C) and SIGTERM (sent by clusters before a job ends) until the training step has finished.

with StopSignals(device, lambda: "step 10 is saved") as signals:
    while step < steps:
        update()
        number = signals.agreed()       # 0, or the signal that stops all processes after this step
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import torch
import torch.distributed as dist

from resdet.engine.distributed import get_world_size
from resdet.errors import Stopped

IMPATIENT = 2.0  # seconds: torchrun repeats a terminal's Ctrl-C at once, a person only after a while
GRACE = 14.0  # seconds: a step may wait for a process that is gone; loader processes need 5 more to notice the end


class StopSignals:
    """While the `with` block lasts, a first signal is only noted, and a second one raises at once.

    With several processes a second signal counts after `IMPATIENT` seconds; and unless they have agreed to stop, or the
    block has ended, `GRACE` seconds after the first one, the process ends: it may be waiting for one that is gone.
    Only the main thread may handle signals: in another one none is received.

    Args:
        device: of the training; the processes' votes are exchanged there.
        what_is_saved: words for the message of the second signal.

    Raises:
        Stopped: the second signal.
    """

    def __init__(self, device: torch.device, what_is_saved: Callable[[], str]) -> None:
        self.device, self.what_is_saved = device, what_is_saved
        self.received, self.when = 0, 0.0
        self.vote: _Vote | None = None
        self.before: dict[signal.Signals, object] = {}
        self.watch: _Watch | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self.before = {s: signal.signal(s, self._receive) for s in (signal.SIGINT, signal.SIGTERM)}
            self.watch = _Watch() if get_world_size() > 1 else None
        return self

    def __exit__(self, *exception: object) -> None:
        if self.watch is not None:
            self.watch.close()
        for number, handler in self.before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal has returned

    def agreed(self) -> int:
        """Ask, after each step, whether to stop now. All processes get the same answer after the same step.

        With several processes a signal counts one step later: their exchange goes on during the next step.

        Returns:
            The signal's number; 0: go on.
        """
        if get_world_size() == 1:
            return self.received
        before, self.vote = self.vote, _Vote(self.received, self.device)
        if self.watch is not None:
            self.watch.step_done()
        number = before.result() if before is not None else 0
        if number and self.watch is not None:
            self.watch.answered.set()  # the exchange works: what follows, saving, may take its time
        return number

    def wait_for_none(self) -> None:
        """Say that what follows exchanges nothing with other processes: after a signal it may take its time."""
        if self.watch is not None:
            self.watch.answered.set()

    def _receive(self, number: int, frame: object) -> None:
        alone = get_world_size() == 1
        if self.received:
            if alone or time.monotonic() - self.when > IMPATIENT:
                raise Stopped(number, f"stopped at once; {self.what_is_saved()}")
            return
        self.received, self.when = number, time.monotonic()


class _Watch:
    """Ends the process after a signal that was not answered for `GRACE` seconds, or for three steps if they are longer.

    Python's handlers run in the main thread, which may be waiting for another process in C++; the pipe of
    `signal.set_wakeup_fd` is written to at once.
    """

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.grace, self.last = GRACE, time.monotonic()
        self.source, self.pipe = os.pipe()
        os.set_blocking(self.pipe, False)
        self.before = signal.set_wakeup_fd(self.pipe, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, daemon=True).start()

    def step_done(self) -> None:
        """Measure a step: the processes agree within two of them."""
        now = time.monotonic()
        self.grace, self.last = max(GRACE, 3 * (now - self.last)), now

    def close(self) -> None:
        signal.set_wakeup_fd(self.before)
        self.answered.set()
        os.close(self.pipe)

    def _wait(self) -> None:
        while number := os.read(self.source, 1):  # nothing: closed
            if number[0] in (signal.SIGINT, signal.SIGTERM) and not self.answered.wait(self.grace):
                os.write(2, f"stopped: no answer from the other processes for {self.grace:.0f} s\n".encode())
                os._exit(128 + number[0])
        os.close(self.source)


class _Vote:
    """The largest number over all processes, exchanged while the next step runs: no process waits for the device."""

    def __init__(self, number: int, device: torch.device) -> None:
        self.largest = torch.full((), number, dtype=torch.int32, device=device)
        self.work = dist.all_reduce(self.largest, dist.ReduceOp.MAX, async_op=True)
        if device.type == "cuda":
            self.work.wait()  # for the stream, not for this thread
            self.largest = torch.empty((), dtype=torch.int32, pin_memory=True).copy_(self.largest, non_blocking=True)
            self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.copied.record()

    def result(self) -> int:
        if self.largest.is_pinned():
            self.copied.synchronize()
        else:
            self.work.wait()
        return int(self.largest)
