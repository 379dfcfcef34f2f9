"""How edition 1.0 writes its classes over several cells (its section 3.2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar

Member = TypeVar("Member", bound=Callable[..., Any])


def add_to_class(Class: type[Any]) -> Callable[[Member], Member]:
    """Return a decorator that makes a function a method of a class that exists already (edition 1.0, section 3.2.1).

    Objects that were made before have the method too.

    Args:
        Class: The class.
    """

    def add(member: Member) -> Member:
        setattr(Class, member.__name__, member)
        return member

    return add


class HyperParameters:
    """The base of classes whose constructors keep their arguments (edition 1.0, section 3.2.1).

    Attributes:
        hparams: What was kept last, by its name.
    """

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Collection[str] = ()) -> None:
        """Keep the variables of the function that calls this, its arguments among them, as attributes.

        Args:
            ignore: Names to leave out. ``self`` and names that begin with ``_`` are left out anyway.
        """
        frame = inspect.currentframe()
        caller = None if frame is None else frame.f_back
        if caller is None:
            raise RuntimeError("this Python does not tell who calls a function: set the attributes one by one")
        left_out = {"self", *ignore}
        variables = dict(caller.f_locals)
        self.hparams = {
            name: value for name, value in variables.items() if name not in left_out and not name.startswith("_")
        }
        for name, value in self.hparams.items():
            setattr(self, name, value)
