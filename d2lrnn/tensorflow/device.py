"""Devices (book section 5.6): the CPU, and the GPUs that TensorFlow sees."""

import tensorflow as tf

from d2lrnn.core.backends import find_device


def cpu():
    """Return the CPU, a context manager."""
    return tf.device("/CPU:0")


def gpu(i=0):
    """Return the i-th GPU, whether it is there or not, a context manager."""
    return tf.device(f"/GPU:{i}")


def num_gpus():
    """Return the number of GPUs."""
    return len(tf.config.list_physical_devices("GPU"))


def try_gpu(i=0):
    """Return the i-th GPU if it is there, else the CPU."""
    return gpu(i) if num_gpus() >= i + 1 else cpu()


def try_all_gpus():
    """Return all GPUs, or a list of the CPU alone if there are none."""
    return [gpu(i) for i in range(num_gpus())] or [try_gpu()]


def device_names():
    """Return the names of the devices here, as :func:`get_device` takes them."""
    return ["cpu"] + [f"gpu:{i}" for i in range(num_gpus())]


def get_device(name="auto"):
    """Return a device by name, as the strategy that ``train_ch8`` takes.

    Args:
        name: ``'cpu'``, ``'gpu'`` or ``'gpu:1'`` (CUDA's words, ``'cuda'`` and ``'cuda:1'``, will do), or
            ``'auto'`` for what :func:`try_gpu` finds.

    Returns:
        A ``tf.distribute.OneDeviceStrategy``.

    Raises:
        InputError: If there is no such device here; the CPU never stands in silently.
    """
    full = find_device("tensorflow", name, device_names())
    return tf.distribute.OneDeviceStrategy("/CPU:0" if full == "cpu" else f"/GPU:{full.removeprefix('gpu:')}")


def book_name(strategy):
    """Return the name of a strategy's first device as the book prints it, such as /CPU:0."""
    return "/" + strategy.extended.worker_devices[0].rsplit("/device:", 1)[-1].lstrip("/")


def device_name(strategy):
    """Return the name of a strategy's first device, as :func:`get_device` takes it."""
    kind, index = book_name(strategy).lstrip("/").lower().split(":")
    return "cpu" if kind == "cpu" else f"{kind}:{index}"
