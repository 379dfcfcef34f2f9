"""Devices (book section 5.6): the CPU, CUDA's GPUs, and Apple's MPS."""

from __future__ import annotations

import torch

from d2lrnn.core.backends import find_device
from d2lrnn.core.interface import Backend, implements

from .types import Device


def cpu() -> Device:
    """Return the CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> Device:
    """Return the i-th GPU, whether it is there or not."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """Return the number of GPUs."""
    return torch.cuda.device_count()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def try_gpu(i: int = 0) -> Device:
    """Return the i-th GPU if it is there, else Apple's MPS if it is there and i is 0, else the CPU."""
    if num_gpus() >= i + 1:
        return gpu(i)
    return torch.device("mps") if i == 0 and _has_mps() else cpu()


def try_all_gpus() -> list[Device]:
    """Return all GPUs, or a list of the CPU alone if there are none."""
    return [gpu(i) for i in range(num_gpus())] or [try_gpu()]


@implements(Backend)
def device_names() -> list[str]:
    return ["cpu"] + [f"gpu:{i}" for i in range(num_gpus())] + (["mps"] if _has_mps() else [])


@implements(Backend)
def get_device(name: str = "auto") -> Device:
    full = find_device("torch", name, device_names())
    return torch.device(full.replace("gpu", "cuda"))


@implements(Backend)
def device_name(device: Device) -> str:
    return str(device).replace("cuda", "gpu")
