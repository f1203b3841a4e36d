"""Mixed precision: convolutions and matrix products in bf16 or fp16 under autocast, the rest in fp32.

Box decoding, IoU, NMS, losses and BN statistics always run in fp32, enforced by boxes/ and by autocast's op lists.

"fp32" is IEEE float32 on every device. torch by itself lets cuDNN round the inputs of float32 convolutions to TF32 (10
bits of mantissa, GPUs from Ampere on): "tf32" asks for that, in matrix products too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from resdet.errors import UserError

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GPU_ONLY = {"fp16": "bf16", "tf32": "fp32"}  # with what a CPU has instead


@contextmanager
def precision_context(precision: Precision, device: torch.device) -> Iterator[None]:
    """A context for forward passes: autocast for "bf16" and "fp16", and `float32_products`.

    Raises:
        UserError: fp16 on a CPU, where it is slow, or tf32, which CPUs do not have.
    """
    if precision in GPU_ONLY and device.type == "cpu":
        raise UserError(f"--precision {precision} needs a GPU; on a CPU use {GPU_ONLY[precision]}")
    dtype = DTYPES[precision]
    with float32_products(precision), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """A context in which products of float32 numbers use TF32 if `precision` is "tf32"; backward passes need it too.

    Afterwards the process has the settings that it had before.
    """
    wanted = precision == "tf32"
    try:
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the user has set them by torch's newer names (2.9), or by both
        with _by_newer_names("tf32" if wanted else "ieee"):
            yield
        return
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cudnn.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def _by_newer_names(precision: str) -> Iterator[None]:
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = matrices.fp32_precision, convolutions.fp32_precision
    matrices.fp32_precision = convolutions.fp32_precision = precision
    try:
        yield
    finally:
        matrices.fp32_precision, convolutions.fp32_precision = before


def fast_precision(device: torch.device) -> Precision:
    """The fastest precision of a device: bf16 on a CPU with AMX or AVX512-BF16 and on GPUs from Ampere on, fp16 on
    older GPUs, fp32 on other CPUs.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    has_onednn: Callable[[], bool] = torch.backends.mkldnn.is_available
    return "bf16" if has_onednn() and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch < 2.10
        return torch.cpu._is_avx512_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
