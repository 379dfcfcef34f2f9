"""What is recorded of where something was computed: versions, and what of the machine decides how rounding goes."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

import d2lrnn
from d2lrnn.core import backends
from d2lrnn.core.threads import usable_cpus
from d2lrnn.runs.run_config import MOST_FACT
from d2lrnn.system.terminal import spelled


def versions(*names: str) -> dict[str, str | None]:
    """Return the versions of d2lrnn, Python, NumPy and some backends by name, None for one that is not installed."""
    own = {"d2lrnn": d2lrnn.__version__, "python": platform.python_version(), "numpy": np.__version__}
    return own | {name: backends.version(name) for name in names}


def describe_here(backend: str) -> dict[str, dict[str, Any]]:
    """Return the ``versions`` of a backend and what is under it, and the ``machine``, as a run folder keeps them."""
    return {
        "versions": versions(backend),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cpus": usable_cpus(),
            # Whatever stands in it, what is recorded can be read again
            "OMP_NUM_THREADS": spelled(os.environ.get("OMP_NUM_THREADS", "").strip())[:MOST_FACT] or None,
        },
    }
