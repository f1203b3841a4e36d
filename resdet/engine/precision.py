"""Mixed precision: convolutions and matrix products in bf16 or fp16 under autocast, the rest in fp32.

Box decoding, IoU, NMS, losses and BN statistics always run in fp32, enforced by boxes/ and by autocast's op lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from resdet.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision_context(precision: Precision, device: torch.device) -> torch.autocast:
    """An autocast context; for "fp32" it does nothing.

    Raises:
        UserError: fp16 on a CPU, where it is slow.
    """
    if precision == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a GPU; on a CPU use bf16")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


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
