"""Why a graphics card that is here is not used, and how to use it: found out without any framework.

The commands of a clone ask before anything is installed, so this needs Python's own library only.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from d2lrnn.system.wording import also

# What the builds for CUDA are made for: from which compute capability on, below which one, and the driver that their
# CUDA asks for. PyTorch's: its RELEASE.md, "PyTorch CUDA Support Matrix". TensorFlow's: its .bazelrc, "cuda_clang", of
# which newer cards translate the code. MXNet's: its last wheel, mxnet-cu117, has code for 5.0, 6.0, 7.0, 8.0 and 8.6,
# and none that could be translated. Drivers: docs.nvidia.com/deploy/cuda-compatibility.
_TORCH = {"cu130": ((7, 5), (99, 0), 580), "cu126": ((5, 0), (10, 0), 525)}
_TENSORFLOW = ((6, 0), (99, 0), 525)
_MXNET = ((5, 0), (9, 0), 450)

_DRIVERS_LIST = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class GPU:
    """A graphics card of NVIDIA.

    Attributes:
        name: As the driver has it.
        capability: Its compute capability, as (9, 0); None if it could not be found.
        driver: The driver's version, as (580, 65); None if it could not be found.
    """

    name: str
    capability: tuple[int, ...] | None = None
    driver: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.capability is None:
            return self.name
        return f"{self.name} (compute capability {'.'.join(map(str, self.capability))})"


def _numbers(text: str) -> tuple[int, ...] | None:
    found = re.findall(r"\d+", text)
    return tuple(map(int, found[:2])) if found else None


def _nvidia_smi() -> str | None:
    """Return the path of NVIDIA's program, or None. Windows' own search for one would begin in the current folder."""
    if sys.platform == "win32":
        folders = os.environ.get("PATH", "").split(os.pathsep)
        programs = (Path(folder, "nvidia-smi.exe") for folder in folders if folder)
        return next((str(program) for program in programs if program.is_file()), None)
    # In WSL it is not on every path
    return shutil.which("nvidia-smi") or shutil.which("/usr/lib/wsl/lib/nvidia-smi")


def nvidia_gpus() -> list[GPU]:
    """Return NVIDIA's cards in this machine that have a driver, whether a framework can use them or not."""
    program = _nvidia_smi()
    # Old drivers do not know what a compute capability is
    for fields in ("name,driver_version,compute_cap", "name,driver_version"):
        if program is None:
            break
        command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            break
        if answer.returncode == 0:
            rows = [line.split(", ") for line in answer.stdout.splitlines() if ", " in line]
            return [GPU(row[0], _numbers("".join(row[2:])), _numbers(row[1])) for row in rows]
    models = (file.read_text(errors="replace") for file in _DRIVERS_LIST.glob("*/information"))
    return [GPU(found[1].strip()) for text in models if (found := re.search(r"^Model:(.*)$", text, re.MULTILINE))]


def has_apple_gpu() -> bool:
    """Whether this is a Mac with Apple's own processor, which has a graphics card in it."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def unused(name: str, title: str, devices: Sequence[str]) -> str | None:
    """Say why a backend does not use the card that is here and what to do, or return None if it does or there is none.

    Args:
        name: A backend that is installed and works.
        title: Its name as people write it.
        devices: What its ``device_names`` returned.
    """
    if name == "numpy" or any(device != "cpu" for device in devices):
        return None
    if has_apple_gpu():
        return _apple(name, title)
    gpus = nvidia_gpus()
    if not gpus:
        return None
    gpu = max(gpus, key=lambda gpu: gpu.capability or (0, 0))
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "none", "NoDevFiles"):
        return f"{gpu} is hidden by CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r}: unset it"
    return f"{gpu} is not used: " + {"torch": _torch, "tensorflow": _tensorflow, "mxnet": _mxnet}[name](gpu)


def _apple(name: str, title: str) -> str:
    if name == "torch":
        return "Apple's GPU is not used: PyTorch needs macOS 14 for it, and a Python that is not translated by Rosetta"
    return f"Apple's GPU is not used: {title} has no build for it; PyTorch has{also('backend', value='torch')}"


def _unfit(gpu: GPU, title: str, lowest: tuple[int, int], below: tuple[int, int], driver: int) -> str | None:
    """Say why a build cannot use a card, or return None if it can as far as is known."""
    if gpu.capability is not None and not lowest <= gpu.capability < below:
        last = "" if below > (90, 0) else f" and below {below[0]}.{below[1]}"
        return f"{title} is built for a compute capability from {lowest[0]}.{lowest[1]}{last}"
    if gpu.driver is not None and gpu.driver[0] < driver:
        number = ".".join(map(str, gpu.driver))
        return f"its driver {number} is too old: install {driver} or later, from nvidia.com/drivers"
    return None


def _torch(gpu: GPU) -> str:
    if platform.system() not in ("Linux", "Windows"):
        return f"PyTorch has no build for CUDA on {platform.system()}"
    reasons = {index: _unfit(gpu, "PyTorch", *build) for index, build in _TORCH.items()}
    fit = [index for index, reason in reasons.items() if reason is None]
    if not fit:
        new = gpu.capability is None or gpu.capability >= _TORCH["cu126"][1]
        return str(reasons["cu130" if new else "cu126"])
    number = _torch_cuda()
    if number is not None and any(index.startswith(f"cu{number}") for index in fit):
        return "PyTorch finds none; python -c 'import torch; torch.cuda.init()' says why"
    what = "the one for the CPU" if number is None else f"for CUDA {number}, which is not for this card and its driver"
    return (
        f"this build of PyTorch is {what}: pip uninstall torch, then "
        f"pip install torch --index-url https://download.pytorch.org/whl/{fit[0]}"
    )


def _torch_cuda() -> str | None:
    """Return the first number of the CUDA that the installed PyTorch is built for, or None if it is for the CPU."""
    spec = util.find_spec("torch")
    file = None if spec is None or spec.origin is None else Path(spec.origin).with_name("version.py")
    if file is None or not file.is_file():
        return None
    found = re.search(r"^cuda\b.*= *'(\d+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return None if found is None else found[1]


def _installed(*distributions: str) -> bool:
    for distribution in distributions:
        try:
            metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return False
    return True


def _tensorflow(gpu: GPU) -> str:
    if platform.system() == "Windows":
        return "TensorFlow has had no build for GPUs on Windows since 2.10: use it in WSL"
    if platform.machine() != "x86_64":
        return f"TensorFlow has no build for GPUs on {platform.machine()}"
    if (reason := _unfit(gpu, "TensorFlow", *_TENSORFLOW)) is not None:
        return reason
    if _installed("tensorflow-cpu"):
        return (
            "this build of TensorFlow is the one for the CPU: pip uninstall tensorflow-cpu, then "
            "pip install 'tensorflow[and-cuda]'"
        )
    if not _installed("nvidia-cublas-cu12", "nvidia-cudnn-cu12"):
        return "TensorFlow has not the libraries of CUDA: pip install 'tensorflow[and-cuda]'"
    return "TensorFlow finds none; python -c 'import tensorflow as tf; tf.config.list_physical_devices()' says why"


def _mxnet(gpu: GPU) -> str:
    if (reason := _unfit(gpu, "MXNet's last build, mxnet-cu117,", *_MXNET)) is not None:
        return reason
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "MXNet has builds for GPUs for Linux on x86-64 alone"
    if _installed("mxnet"):
        return (
            "this build of MXNet is the one for the CPU: pip uninstall mxnet, then "
            "pip install --no-deps mxnet-cu117==1.9.1; it needs CUDA 11.7, cuDNN 8 and NCCL, installed by hand"
        )
    return "MXNet finds none; its build must be for the CUDA 11 that is installed"
