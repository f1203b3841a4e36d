"""Write a classifier's weights under another project's names, for use outside of resdet.

export_weights.py runs/mine/last.pth --to torchvision --out resnet18.pth
export_weights.py runs/mine/last.pth --to torchvision --out resnet18.safetensors

The preprocessing, which belongs to the weights, is printed: the other project keeps it elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from resdet.cli.common import run_command
from resdet.errors import UserError
from resdet.nets.weights import State, read_weights, to_cifar, to_torchvision

FORMS: dict[str, Callable[[State], State]] = {"torchvision": to_torchvision, "cifar": to_cifar}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/export_weights.py and resdet-export-weights."""
    run_command(_export, arguments)


def _export(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a checkpoint, or weights of any origin that resdet reads")
    parser.add_argument("--to", choices=FORMS, default="torchvision", help="whose names")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".pth or .safetensors")
    args = parser.parse_args(arguments)
    weights = read_weights(args.weights)
    state: State = FORMS[args.to](weights.state)
    _write(args.out, state)
    where = "" if weights.stride_on is None else f", stride on the {weights.stride_on}"
    print(f"{args.out}: {len(state)} tensors under {args.to}'s names{where}")
    print(f"input: RGB in 0..255, minus {_words(weights.mean)}, divided by {_words(weights.std)}")


def _write(path: Path, state: State) -> None:
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if path.suffix != ".safetensors":
        with path.open("wb") as file:
            torch.save(state, file)
        return
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise UserError(f"{path}: writing it needs a package: pip install resdet[safetensors]") from None
    save_file(state, path)


def _words(values: Tensor) -> str:
    return "a mean image" if values.dim() > 1 else ", ".join(f"{v:g}" for v in values.tolist())


if __name__ == "__main__":
    main()
