"""Devices (book section 5.6): the CPU, and CUDA's GPUs."""

from __future__ import annotations

from mxnet import npx

from d2lrnn.core.backends import find_device
from d2lrnn.core.interface import Backend, implements

from .types import Device


def cpu() -> Device:
    """Return the CPU."""
    return npx.cpu()


def gpu(i: int = 0) -> Device:
    """Return the i-th GPU, whether it is there or not."""
    return npx.gpu(i)


def num_gpus() -> int:
    """Return the number of GPUs."""
    return npx.num_gpus()


def try_gpu(i: int = 0) -> Device:
    """Return the i-th GPU if it is there, else the CPU."""
    return gpu(i) if num_gpus() >= i + 1 else cpu()


def try_all_gpus() -> list[Device]:
    """Return all GPUs, or a list of the CPU alone if there are none."""
    return [gpu(i) for i in range(num_gpus())] or [try_gpu()]


@implements(Backend)
def device_names() -> list[str]:
    return ["cpu"] + [f"gpu:{i}" for i in range(num_gpus())]


@implements(Backend)
def get_device(name: str = "auto") -> Device:
    full = find_device("mxnet", name, device_names())
    return cpu() if full == "cpu" else gpu(int(full.removeprefix("gpu:")))


@implements(Backend)
def device_name(device: Device) -> str:
    return "cpu" if device.device_type == "cpu" else f"gpu:{device.device_id}"
