"""Run checks: commands beside what runs in this process, and last what has to be alone."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from resdet.device_check.check import Check, Found, Kind, Setting, Skipped, one_line
from resdet.device_check.commands import Commands
from resdet.device_check.report import Report, describe, make_result


def run_checks(checks: Sequence[Check], device: torch.device, out: Path) -> Report:
    """Run checks, print a line for each, and write the report after each.

    Args:
        checks: those to run.
        device: a GPU, or the CPU as a trial of the checks.
        out: folder of the report, of the commands' logs (logs/) and of their files (files/, made anew).
    """
    folder = (out / "files").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    commands = Commands(out.resolve() / "logs", str(device), slots=os.cpu_count() or 1)
    setting = Setting(device, folder, commands)
    report = Report(out, describe(device), [check.name for check in checks])
    report.write()
    own, started, last = ([c for c in checks if c.kind == kind] for kind in (Kind.HERE, Kind.COMMANDS, Kind.ALONE))
    try:
        with ThreadPoolExecutor(max(1, len(started))) as pool:
            futures: list[Future[None]] = [pool.submit(run_check, check, setting, report) for check in started]
            try:
                with _one_thread():
                    for check in own:
                        run_check(check, setting, report)
                for future in futures:
                    future.result()
            except BaseException:  # an interruption
                commands.stop()
                raise
        for check in last:
            run_check(check, setting, report)
    finally:
        commands.stop()
    return report


def run_check(check: Check, setting: Setting, report: Report) -> None:
    """Run a check, whatever it raises, print its line and add its result."""
    found, started = Found(), time.perf_counter()
    status = reason = ""
    try:
        check.run(setting, found)
    except Skipped as why:
        status, reason = "skipped", str(why)
    except Exception as error:
        found.problems.append(one_line(error))
        reason = traceback.format_exc()
    if setting.commands.stopped:  # by an interruption: the report says that it is unfinished
        return
    result = make_result(check, found, time.perf_counter() - started, status, reason)
    report.add(result)
    print(result.line(), flush=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread on the CPU: the commands need the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
