"""What arguments must be: sizes, rates and limits, and how an error quotes a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

from d2lrnn.errors import InputError, shortened
from d2lrnn.system.wording import by

POSITIVE = "a positive finite number"


def whole_number(least: int) -> str:
    """Return in words that a whole number has a smallest value."""
    return f"a whole number of at least {least}"


def require_positive(**sizes: object) -> None:
    """Check that every named size is a whole number of at least 1.

    Raises:
        InputError: If one is not, naming it and its value.
    """
    for name, value in sizes.items():
        # NumPy's integers have __index__ too; floats have not, not even whole ones
        if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < 1:
            raise InputError(f"{by(name)} must be {whole_number(1)}, not {given(value)}")


# The smallest number that float32 holds with all its digits: of smaller ones MXNet's conversion makes an error of its
# own. And the largest: with a greater learning rate PyTorch's and MXNet's optimizers end in errors of theirs.
SMALLEST_RATE, LARGEST_LR = 2.0**-126, (2 - 2.0**-23) * 2.0**127


def require_rates(*, lr: object = 1.0, theta: object = 1.0, dtype: str = "float32") -> None:
    """Check that a learning rate and a radius of clipping are positive, and numbers that can be computed with.

    Args:
        lr: The learning rate.
        theta: The radius.
        dtype: What a model computes in: in ``'float64'`` a learning rate may be larger.

    Raises:
        InputError: If one is not, naming it and its value.
    """
    for name, value in (("lr", lr), ("theta", theta)):
        try:
            number = float(value) if isinstance(value, Real) else math.nan  # NumPy's numbers are such, too
        except OverflowError:  # of a whole number
            number = math.inf
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"{by(name)} must be {POSITIVE}, not {given(value)}")
        if number < SMALLEST_RATE:
            raise InputError(
                f"{by(name)} must be at least {SMALLEST_RATE:.1e}, not {value!r}: float32 has no smaller one"
            )
        if name == "lr" and number > LARGEST_LR and dtype != "float64":
            raise InputError(f"{by(name)} must be at most {LARGEST_LR:.1e}, not {value!r}: {dtype} has no larger one")


def require_at_most(limits: Mapping[str, int], **sizes: int | None) -> None:
    """Check that no named size is beyond its limit; None is none.

    Raises:
        InputError: If one is, naming it and its value.
    """
    for name, value in sizes.items():
        if value is not None and value > limits[name]:
            raise InputError(f"{by(name)} must be at most {limits[name]:,}, not {given(value)}")


def given(value: object) -> str:
    """Return a value as an error has it; of a number of many digits, how many."""
    if isinstance(value, int) and abs(value) >= 10**30:
        # (Python itself refuses to write out the longest ones)
        return f"a number of about {int(abs(value).bit_length() * math.log10(2)) + 1:,} digits"
    return shortened(repr(value), 200)
