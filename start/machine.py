"""What this machine has, and what it lacks: graphics cards, system libraries, networks."""

import http.client
import platform
import sys
import urllib.request
from pathlib import Path

# Before what is installed, which may be another version
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
from d2lrnn import graphics, libraries

CPU_BUILDS_OF_TORCH = "https://download.pytorch.org/whl/cpu/torch/"
_PATIENCE = 5  # seconds that an index has to answer


def has_nvidia_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU with its driver."""
    return bool(graphics.nvidia_gpus())


def has_mxnet_builds() -> bool:
    """Return whether MXNet 1.9.1 has a build for this machine."""
    system, machine = platform.system(), platform.machine().lower()
    if system == "Darwin":
        return machine == "x86_64"
    return system == "Linux" and not libraries.is_musl() and machine in ("x86_64", "aarch64")


def lack_of_libraries() -> str | None:
    """Say which libraries of the system MXNet would miss here and how to get them, or return None."""
    missing = libraries.missing(libraries.of_mxnet())
    return libraries.lack("MXNet", missing) if missing else None


def answers(url: str) -> bool:
    """Return whether an address answers within a few seconds."""
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def describe() -> str:
    """Return this Python and this system, as people name them."""
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def is_linux() -> bool:
    """Return whether this is Linux, where PyTorch's wheels in the package index bring CUDA along."""
    return sys.platform.startswith("linux")
