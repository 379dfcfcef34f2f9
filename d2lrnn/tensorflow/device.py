"""Devices (book section 5.6): the CPU, and the GPUs that TensorFlow sees."""

from __future__ import annotations

import tensorflow as tf

from d2lrnn.core.backends import find_device
from d2lrnn.core.interface import Backend, implements

from .types import Device, Strategy


def cpu() -> Device:
    """Return the CPU, a context manager."""
    return tf.device("/CPU:0")


def gpu(i: int = 0) -> Device:
    """Return the i-th GPU, whether it is there or not, a context manager."""
    return tf.device(f"/GPU:{i}")


def num_gpus() -> int:
    """Return the number of GPUs."""
    return len(tf.config.list_physical_devices("GPU"))


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
def get_device(name: str = "auto") -> Strategy:
    full = find_device("tensorflow", name, device_names())
    return tf.distribute.OneDeviceStrategy("/CPU:0" if full == "cpu" else f"/GPU:{full.removeprefix('gpu:')}")


def _short(name: str) -> str:
    return "/" + name.rsplit("/device:", 1)[-1].lstrip("/")


def book_name(strategy: Strategy) -> str:
    """Return the name of a strategy's first device as the book prints it, such as /CPU:0."""
    return _short(strategy.extended.worker_devices[0])


def name_in_book(device: Device) -> str:
    """Return the name of a device, a context manager, as the book prints it: that of where a tensor comes to lie."""
    with device:
        return _short(tf.zeros(()).device)


@implements(Backend)
def device_name(strategy: Strategy) -> str:
    kind, index = book_name(strategy).lstrip("/").lower().split(":")
    return "cpu" if kind == "cpu" else f"{kind}:{index}"
