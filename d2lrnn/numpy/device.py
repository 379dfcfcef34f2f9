"""Devices (book section 5.6): NumPy has the CPU and nothing else."""

from d2lrnn.core.backends import find_device


def cpu():
    """Return the CPU."""
    return "cpu"


def gpu(i=0):
    """Return the i-th GPU, whether it is there or not: NumPy computes on none."""
    return f"gpu:{i}"


def num_gpus():
    """Return the number of GPUs that NumPy can use: none."""
    return 0


def try_gpu(i=0):
    """Return the i-th GPU if it is there, else the CPU; so it is the CPU."""
    return cpu()


def try_all_gpus():
    """Return all GPUs, or a list of the CPU alone if there are none; so it is that."""
    return [cpu()]


def device_names():
    """Return the names of the devices here, as :func:`get_device` takes them."""
    return ["cpu"]


def get_device(name="auto"):
    """Return a device by name.

    Args:
        name: ``'cpu'``, or ``'auto'`` for what :func:`try_gpu` finds.

    Raises:
        InputError: If there is no such device here; the CPU never stands in silently.
    """
    return find_device("numpy", name, device_names())


def device_name(device):
    """Return the name of a device, as :func:`get_device` takes it."""
    return str(device)
