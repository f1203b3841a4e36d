"""How the processes of a run meet, at a first start and after torchrun's restart, on one machine or several."""

from __future__ import annotations

import os
import time
import uuid
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from resdet.errors import UserError

MEETING = timedelta(minutes=10)  # how long a process waits for the others to start
# How long one waits for another in an exchange. The main process alone scores a validation, which takes minutes for
# COCO; torch's own limit is ten minutes. A process that has died is noticed at once.
EXCHANGE = timedelta(hours=3)


def meet(backend: str) -> None:
    """Join the process group that torchrun's variables describe.

    Args:
        backend: "nccl" or "gloo".

    Raises:
        UserError: the others have not come within `MEETING`.
    """
    try:
        store, rank, world = next(rendezvous("env://", timeout=MEETING))
        store = PrefixStore(_name_of_start(store, rank, world), store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=EXCHANGE)
    except (dist.DistError, TimeoutError) as error:
        at = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} has not met the others at {at} ({reason}); "
            "start all of them, and let all machines reach that address"
        ) from error


def _name_of_start(store: Store, rank: int, world: int) -> str:
    """A name that all processes of this start share, and none of an earlier one.

    torchrun keeps its store when it restarts, with the addresses of dead processes in it; how often it has restarted
    can differ between machines. So each process asks under a name of its own, and the main one answers until all have
    understood: a question can be a dead process's, an answer to it is read by nobody.
    """
    if rank > 0:
        mine = uuid.uuid4().hex
        store.set(f"question/{rank}", mine)
        name = str(store.get(f"answer/{mine}"), "utf-8")  # waits
        store.set(f"understood/{name}/{rank}", "")
        return name
    name, left, end = uuid.uuid4().hex, set(range(1, world)), time.monotonic() + MEETING.total_seconds()
    while left:
        if time.monotonic() > end:
            raise TimeoutError(f"processes {', '.join(map(str, sorted(left)))} are missing")
        for other in sorted(left):
            if store.check([f"question/{other}"]):
                store.set(f"answer/{str(store.get(f'question/{other}'), 'utf-8')}", name)
        left = {other for other in left if not store.check([f"understood/{name}/{other}"])}
        time.sleep(0.01)
    return name
