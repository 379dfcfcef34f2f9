"""All that is tried, and one of it in a process of its own."""

from __future__ import annotations

import disks  # noqa: F401 (each of these adds to FAULTS)
import downloads  # noqa: F401
import extremes  # noqa: F401
import hostile_files  # noqa: F401
import interruptions  # noqa: F401
import other_code  # noqa: F401
import run_folders  # noqa: F401
import terminals  # noqa: F401
from place import FAULTS, Verdict, attempt


def try_numbered(number: int, usable: tuple[str, ...]) -> Verdict:
    """Try a fault by its number, for a fault's function is no data; return what came of it."""
    return attempt(FAULTS[number], usable)
