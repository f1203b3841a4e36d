"""Defer SIGINT (Ctrl-C) and SIGTERM (sent by clusters before a job ends) until the training step has finished."""

from __future__ import annotations

import signal
import threading


class StopSignals:
    """While the `with` block lasts, a first signal sets `received`; a second one raises KeyboardInterrupt at once.

    Only the main thread may handle signals: in another one `received` stays False.
    """

    def __enter__(self) -> StopSignals:
        self.received = False
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {s: signal.signal(s, self._receive) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: object) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True
