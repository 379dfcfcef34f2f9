"""What this machine has, and what it can reach."""

import http.client
import platform
import sys
import urllib.request
from pathlib import Path

# Before what is installed, which may be another version
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
from d2lrnn.system import graphics, libraries, processes

__all__ = ["answers", "describe", "has_nvidia_gpu", "is_linux", "libraries", "processes"]

CPU_BUILDS_OF_TORCH = "https://download.pytorch.org/whl/cpu/torch/"
_PATIENCE = 5  # seconds that an index has to answer


def has_nvidia_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU with its driver."""
    return bool(graphics.nvidia_gpus())


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
