"""What models and layers have in common: they are called, and can be gone back through."""

from __future__ import annotations

from typing import Any


class Module:
    """The base of layers and models. Your own defines :meth:`forward`, and to be trained ``backward``.

    ``backward`` takes the gradient of what the last call returned and keeps the gradients of the parameters: what other
    frameworks find by themselves.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what :meth:`forward` does."""
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer or model computes."""
        raise NotImplementedError(f"define forward in {type(self).__name__}")
