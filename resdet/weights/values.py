"""What the numbers of a weights file must be: floats, finite, and variances of which a square root exists.

A net computes with anything: int8 weights of a quantized file without their scales, or a variance of -1, which makes
every output NaN. Both are refused when the file is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from resdet.errors import UserError

BN_EPS = 1e-5  # the epsilon of every batch normalization, ours and all origins'
_VARIANCES = ("running_var", "_riv")  # the latter is Caffe2's


def check_values(state: Mapping[str, Tensor], source: object) -> None:
    """Check the parameters and BN statistics of a net.

    A variance of 0 is that of a constant channel; rounding makes it negative by less than BN's epsilon.

    Args:
        state: tensors by name, under whatever project's names.
        source: the file, for messages.

    Raises:
        UserError: integers, NaN or infinite values, or a negative variance; the tensor is named.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"{source}: {name} holds {kind} where weights are floats; take the file before it was quantized"
            )
        if not tensor.isfinite().all():
            raise UserError(f"{source}: {name} holds NaN or infinite values; take a file that is not damaged")
        if name.endswith(_VARIANCES) and (tensor <= -BN_EPS).any():
            raise UserError(
                f"{source}: {name} holds a negative variance ({tensor.min().item():g}); take a file that is not damaged"
            )


def check_pixels(mean: Tensor, std: Tensor, source: object) -> None:
    """Check a preprocessing.

    Args:
        mean: of the pixels.
        std: which they are divided by.
        source: the file, for messages.

    Raises:
        UserError: NaN or infinite values, or a std that is not above 0.
    """
    if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
        raise UserError(
            f"{source}: its mean or std of pixels is NaN, infinite or a std of 0; take a file that is not damaged"
        )
