"""Devices (book section 5.6): the CPU, and CUDA's GPUs."""

from mxnet import npx

from d2lrnn.core.backends import find_device


def cpu():
    """Return the CPU."""
    return npx.cpu()


def gpu(i=0):
    """Return the i-th GPU, whether it is there or not."""
    return npx.gpu(i)


def num_gpus():
    """Return the number of CUDA GPUs."""
    return npx.num_gpus()


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
    """Return a device by name.

    Args:
        name: ``'cpu'``, ``'gpu'`` or ``'gpu:1'`` (CUDA's words, ``'cuda'`` and ``'cuda:1'``, will do), or
            ``'auto'`` for what :func:`try_gpu` finds.

    Raises:
        InputError: If there is no such device here; the CPU never stands in silently.
    """
    full = find_device("mxnet", name, device_names())
    return cpu() if full == "cpu" else gpu(int(full.removeprefix("gpu:")))


def device_name(device):
    """Return the name of a device, as :func:`get_device` takes it."""
    return "cpu" if device.device_type == "cpu" else f"gpu:{device.device_id}"
