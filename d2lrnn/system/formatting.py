"""Numbers as people read them: each quantity has one form, here; and tables of them in Markdown.

What is not known is a dash. In tables memory is in MiB, so that rows compare; a message has the unit that fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeGuard

UNKNOWN = "-"
NOT_FINITE = "not finite"
THIN = "\u202f"  # between a number and its unit in a page: narrow, and no place for a line to break
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def finite(value: float | None) -> TypeGuard[float]:
    """Return whether a number is known, and neither NaN nor infinite."""
    return value is not None and math.isfinite(value)


def format_count(value: float | None) -> str:
    """Return how many there are: ``12,345``."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def format_seconds(value: float | None) -> str:
    """Return a time in seconds: ``1.5 s``."""
    return f"{value:.1f} s" if finite(value) else UNKNOWN


def format_mebibytes(size: float | None) -> str:
    """Return a number of bytes in the unit of tables: ``256 MiB``."""
    return f"{size / 2**20:,.0f} MiB" if finite(size) else UNKNOWN


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that fits: ``1.5 GB``."""
    if size >= 10**21:
        return "more than 1,000 EB"
    units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"]
    while size >= 1000:
        size /= 1000
        units.pop(0)
    unit = units[0]
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def format_scientific(value: float, digits: int = 1) -> str:
    """Return a finite number as people write it, ``3.1 × 10⁻⁶``, with narrow spaces that do not break."""
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}{THIN}×{THIN}{format_power(int(exponent))}"


def format_power(exponent: int) -> str:
    """Return a power of ten: ``10⁻⁶``."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def format_decimal(value: float | None, digits: int = 3) -> str:
    """Return a number for a page: ``1,234.500``, and :func:`format_scientific` from a million on."""
    if not finite(value):
        return NOT_FINITE
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else format_scientific(value)


def format_percent(fraction: float) -> str:
    """Return a fraction as a percentage of two digits, ``0.25 %``, for a page."""
    percent = 100 * fraction
    if 1e-4 <= percent < 1e6:
        return f"{percent:.2g}{THIN}%" if percent < 100 else f"{percent:,.0f}{THIN}%"
    return f"{format_scientific(percent)}{THIN}%"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines]
