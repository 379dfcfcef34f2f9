"""Devices (book section 5.6): the CPU, CUDA's GPUs, and Apple's MPS."""

import torch

from d2lrnn.core.backends import find_device


def cpu():
    """Return the CPU."""
    return torch.device("cpu")


def gpu(i=0):
    """Return the i-th GPU, whether it is there or not."""
    return torch.device(f"cuda:{i}")


def num_gpus():
    """Return the number of CUDA GPUs."""
    return torch.cuda.device_count()


def _has_mps():
    return torch.backends.mps.is_available()


def try_gpu(i=0):
    """Return the i-th GPU if it is there, else Apple's MPS if it is there and i is 0, else the CPU."""
    if num_gpus() >= i + 1:
        return gpu(i)
    return torch.device("mps") if i == 0 and _has_mps() else cpu()


def try_all_gpus():
    """Return all GPUs, or a list of the CPU alone if there are none."""
    return [gpu(i) for i in range(num_gpus())] or [try_gpu()]


def device_names():
    """Return the names of the devices here, as :func:`get_device` takes them."""
    return ["cpu"] + [f"gpu:{i}" for i in range(num_gpus())] + (["mps"] if _has_mps() else [])


def get_device(name="auto"):
    """Return a device by name.

    Args:
        name: ``'cpu'``, ``'gpu'`` or ``'gpu:1'`` (CUDA's words, ``'cuda'`` and ``'cuda:1'``, will do), ``'mps'``, or
            ``'auto'`` for what :func:`try_gpu` finds.

    Raises:
        InputError: If there is no such device here; the CPU never stands in silently.
    """
    full = find_device("torch", name, device_names())
    return torch.device(full.replace("gpu", "cuda"))


def device_name(device):
    """Return the name of a device, as :func:`get_device` takes it."""
    return str(device).replace("cuda", "gpu")
