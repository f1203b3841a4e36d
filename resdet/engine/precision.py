"""One context decides the precision: convolutions and matrix products in bf16 or fp16 if asked, the rest in fp32.

Decoding of boxes, IoU, NMS, losses and BN statistics stay in fp32 by themselves (boxes/, autocast's own lists).
"""

from __future__ import annotations

from typing import Literal

import torch

from resdet.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision_context(precision: Precision, device: torch.device) -> torch.autocast:
    """``with precision_context("bf16", device): losses = model(batch)``.

    Raises:
        UserError: fp16 on a CPU, which has no fast path for it.
    """
    if precision == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a GPU; on a CPU use bf16")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def fast_precision(device: torch.device) -> Precision:
    """bf16 where the device multiplies it faster than fp32 (AMX or AVX512-BF16, Ampere and later), else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.backends.mkldnn.is_available() and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch < 2.10
        return torch.cpu._is_avx512_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
