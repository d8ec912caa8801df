"""Where networks run, and in which precision."""

from __future__ import annotations

import logging
from functools import cache

import torch

from iaca.encoders.config import Precision
from iaca.errors import InputError

log = logging.getLogger(__name__)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BFLOAT16_CPU = ("avx512_bf16", "amx_bf16")  # processors that compute in it; others emulate it, slowly


@cache
def pick_device(name: str) -> torch.device:
    """`auto`: the first GPU where there is one, the CPU elsewhere; any other name is torch's. Logged once a process.

    Raises:
        InputError: torch knows no such device, or there is none of that kind.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"torch knows no device named {name!r}", remedy="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"there is no device {name!r} here", remedy="use auto, or a GPU that torch finds")
    log.info("networks run on %s", torch.cuda.get_device_name(device) if device.type == "cuda" else device)
    return device


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that autocast computes in; float32 is no autocast.

    Raises:
        InputError: float16 was asked for on a CPU.
    """
    if precision == "auto":
        return torch.bfloat16 if _computes_in_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        raise InputError("float16 needs a GPU", remedy="use precision: auto, bfloat16 or float32")
    return DTYPES[precision]


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(bool(able.get(name)) for name in BFLOAT16_CPU)
