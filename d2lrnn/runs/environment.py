"""What is recorded of where and when something was computed: versions, the machine, the time."""

from __future__ import annotations

import os
import platform
import time
from datetime import datetime
from typing import Any

import numpy as np

import d2lrnn
from d2lrnn.core import backends
from d2lrnn.core.threads import usable_cpus
from d2lrnn.runs.run_config import MOST_FACT
from d2lrnn.system.terminal import spelled


def now() -> str:
    """Return the local time as files keep it: ``2026-11-21T10:51:30+0000``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def versions(*names: str) -> dict[str, str | None]:
    """Return the versions of d2lrnn, Python, NumPy and some backends by name, None for one that is not installed."""
    own = {"d2lrnn": d2lrnn.__version__, "python": platform.python_version(), "numpy": np.__version__}
    return own | {name: backends.version(name) for name in names}


def here_and_now() -> dict[str, Any]:
    """Return where and when this is: versions, platform, the processors this process may use, and the local time."""
    return {
        **versions(),
        "platform": platform.platform(),
        "cpus": usable_cpus(),
        "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


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
