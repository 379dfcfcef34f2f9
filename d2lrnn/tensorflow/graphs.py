"""A net's functions as graphs, which it keeps until something that they were made of has changed."""

from __future__ import annotations

import functools
import itertools
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.python.framework import ops

from d2lrnn.errors import D2LRNNWarning

from .fast import loops

Function: TypeAlias = Callable[..., Any]
Parts: TypeAlias = dict[str, tuple[Any, ...]]

# What TensorFlow raises when a function cannot become a graph, because it needs a tensor's value, say; and when XLA
# lacks an operation.
_NOT_A_GRAPH = (
    tf.errors.OperatorNotAllowedInGraphError,
    NotImplementedError,
    AttributeError,
    TypeError,
    ValueError,
)
_NOT_IN_XLA = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


class _Memory:
    """What a net keeps: graphs and the like by their names, each with what it was made of."""

    def __init__(self) -> None:
        self.things: dict[str, tuple[Parts, Any]] = {}
        self.own_affairs: set[str] = set()  # what the net changes when it is called, such as a count of its calls
        self.told: set[str] = set()


def _memory(net: Any) -> _Memory:
    memory: _Memory | None = net.__dict__.get("_d2lrnn_memory")
    if memory is None:
        memory = _Memory()
        object.__setattr__(net, "_d2lrnn_memory", memory)  # past Keras, which would track it
    return memory


def kept(net: Any, name: str, made_of: Sequence[Any], make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns, which the net keeps under a name until something that it was made of has changed.

    Args:
        net: The net.
        name: The name. There is only ever one thing under it.
        made_of: A list of what it was made of, besides what the net itself is made of.
        make: A function without arguments.
    """
    memory = _memory(net)
    now: Parts = {"": tuple(made_of), **_parts(net)}
    before, thing = memory.things.pop(name, ({}, None))  # what is no longer of use goes before the new one is made
    if any(key not in memory.own_affairs for key in _changed(before, now)):
        thing = make()
    memory.things[name] = now, thing
    return thing


_TRAINS = " trains"
# What Keras 2 writes anew whenever a layer is called
_SPECS = ("input_spec", "state_spec", "constants_spec")


def _parts(net: Any, path: str = "net", seen: tuple[Any, ...] = ()) -> Parts:
    """Return what a net is made of as its reader sees it: functions, options, variables, layers and theirs, by names.

    A graph is made once, of what was there then. This is how it is noticed that something has been exchanged.
    """
    parts: Parts = {path: (net, type(net)), path + _TRAINS: tuple(net.trainable_variables)}
    for name, value in vars(net).items():
        if name == "_d2lrnn_memory" or (isinstance(net, tf.keras.layers.Layer) and _is_kerass_own(net, name)):
            continue
        parts[f"{path}.{name}"] = items = tuple(_flat(value))
        for i, item in enumerate(items):
            if hasattr(item, "trainable_variables") and not any(item is other for other in (net, *seen)):
                parts |= _parts(item, f"{path}.{name}[{i}]", (net, *seen))
    return parts


def _is_kerass_own(layer: Any, name: str) -> bool:
    """Return whether an attribute is one in which Keras counts and caches, and not one of its options or a reader's."""
    if name in _SPECS:
        return True
    kerass = type(layer).__module__.split(".")[0] in ("keras", "tf_keras")
    return name.startswith("_") and (kerass or name in _of_every_layer())


@functools.cache
def _of_every_layer() -> frozenset[str]:
    """Return the names of the attributes that every layer of Keras has."""
    return frozenset(vars(tf.keras.layers.Layer()))


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.items())
    return [part for item in value for part in _flat(item)] if isinstance(value, (list, tuple)) else [value]


def _changed(before: Parts, now: Parts) -> set[str]:
    """Return the names of the parts that are no longer the same."""

    def same(a: Any, b: Any) -> bool:
        return a is b or (isinstance(a, (str, int, float)) and type(a) is type(b) and a == b)

    def are_same(a: tuple[Any, ...] | None, b: tuple[Any, ...] | None) -> bool:
        return a is not None and b is not None and len(a) == len(b) and all(map(same, a, b))

    return {name for name in {**before, **now} if not are_same(before.get(name), now.get(name))}


def compiled(
    net: Any, name: str, function: Function, made_of: Sequence[Any] = (), *, jit_compile: bool = False
) -> Function:
    """Return a function that runs as a graph, which its net keeps until something in it has changed (:func:`kept`).

    A function that cannot become a graph, as a reader's own may not, runs operator by operator. Where XLA lacks an
    operation, TensorFlow's own graph runs. Either is warned about once for a net.

    Args:
        net: The net.
        name: What the function does.
        function: The function.
        made_of: What it depends on besides the net.
        jit_compile: Let XLA compile the graph.

    Returns:
        A function with the arguments of the one given.
    """
    return kept(net, name, [*made_of, jit_compile], lambda: _Compiled(net, function, jit_compile))


# Where TensorFlow keeps the gradient of each custom one in a graph, as rnn_fast and a strategy's optimizers have them.
# It keeps them for good, and with each the whole graph: some megabytes for each net that was trained.
_GRADIENTS = getattr(getattr(ops, "gradient_registry", None), "_registry", {})


def _end_with(net: Any, names: Iterable[str]) -> None:
    """Let what is registered under some names go when a net goes, whose graph alone has a use for it."""

    def forget(names: list[str]) -> None:
        for name in names:
            _GRADIENTS.pop(name, None)

    weakref.finalize(net, forget, list(names)).atexit = False


class _Compiled:
    """A function that runs as a graph, or in another way from the first time on that it turns out to be none."""

    def __init__(self, net: Any, function: Function, jit_compile: bool) -> None:
        self._net, self._function, self._jit_compile = net, function, jit_compile
        self._run = self._by_xla() if jit_compile else self._by_tensorflow()
        self._is_new = True

    def _by_tensorflow(self) -> Function:
        return tf.function(self._function, autograph=False)

    def _by_xla(self) -> Function:
        def function(*args: Any) -> Any:
            with loops():
                return self._function(*args)

        return tf.function(function, autograph=False, jit_compile=True)

    def __call__(self, *args: Any) -> Any:
        before = _parts(self._net) if self._is_new else {}
        known = len(_GRADIENTS)
        try:
            return self._run(*args)
        except _NOT_IN_XLA as error:
            if not self._jit_compile:
                raise
            return self._run_instead(self._by_tensorflow(), "without XLA", error, args)
        except _NOT_A_GRAPH as error:
            if self._run is self._function:
                raise
            return self._run_instead(self._function, "slowly, operator by operator", error, args)
        finally:
            if len(_GRADIENTS) > known:
                _end_with(self._net, itertools.islice(reversed(_GRADIENTS), len(_GRADIENTS) - known))
            if self._is_new:
                self._is_new = False
                # Not what came to be when the net was built
                changed = _changed(before, _parts(self._net)) & set(before)
                _memory(self._net).own_affairs |= {name for name in changed if not name.endswith(_TRAINS)}

    def _run_instead(self, run: Function, how: str, error: Exception, args: tuple[Any, ...]) -> Any:
        result = run(*args)  # if it fails here too, this is the error to see
        self._run, self._jit_compile = run, False
        told = _memory(self._net).told
        if how not in told:
            told.add(how)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            name = type(self._net).__name__
            warnings.warn(f"{name} cannot be compiled and runs {how}: {reason}", D2LRNNWarning, stacklevel=3)
        return result
