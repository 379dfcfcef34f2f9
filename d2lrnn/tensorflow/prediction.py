"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.python.framework import ops

from d2lrnn.core.generation import generate, token_chooser
from d2lrnn.data import Vocab
from d2lrnn.data.sampling import Array, Seed
from d2lrnn.errors import D2LRNNWarning

from .concise import RNNModel
from .fast import loops
from .scratch import RNNModelScratch
from .types import State, Tensor

Net: TypeAlias = RNNModelScratch | RNNModel
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
        self.own_affairs: set[str] = (
            set()
        )  # what the net changes by itself when it is called, such as a count of its calls
        self.told: set[str] = set()


def _memory(net: Net) -> _Memory:
    memory: _Memory | None = net.__dict__.get("_d2lrnn_memory")
    if memory is None:
        memory = _Memory()
        object.__setattr__(net, "_d2lrnn_memory", memory)  # past Keras, which would track it
    return memory


def kept(net: Net, name: str, made_of: Sequence[Any], make: Callable[[], Any]) -> Any:
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
    return name.startswith("_") and (kerass or name in vars(tf.keras.layers.Layer()))


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
    net: Net, name: str, function: Function, made_of: Sequence[Any] = (), *, jit_compile: bool = False
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


def _end_with(net: Net, names: Iterable[str]) -> None:
    """Let what is registered under some names go when a net goes, whose graph alone has a use for it."""

    def forget(names: list[str]) -> None:
        for name in names:
            _GRADIENTS.pop(name, None)

    weakref.finalize(net, forget, list(names)).atexit = False


class _Compiled:
    """A function that runs as a graph, or in another way from the first time on that it turns out to be none."""

    def __init__(self, net: Net, function: Function, jit_compile: bool) -> None:
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


def call(net: Net, X: Tensor, state: State, *, training: bool) -> tuple[Tensor, State]:
    """Return what a net makes of a minibatch, in the mode for training or in that for evaluation.

    Args:
        net: A model of either kind. Keras's layers are told the mode; a net of plain functions has none.
        X: Indices, shape (batch_size, num_steps).
        state: The net's state.
        training: Whether what acts in training only, such as dropout, acts.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    if isinstance(net, tf.keras.layers.Layer):
        return net(X, state, training=training)
    return net(X, state)


def predict_ch8(
    prefix: str | Sequence[str],
    num_preds: int,
    net: Net,
    vocab: Vocab,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: Seed = None,
) -> str:
    """Continue a prefix.

    Args:
        prefix: A string, which is read as the vocabulary's text was: cleaned, and parted into characters or words. Or a
            list of tokens, which are taken as they are. It may be empty.
        num_preds: Tokens to add.
        net: A model of either kind.
        vocab: Its vocabulary.
        temperature: Draw from the softmax of logits / temperature instead of taking the most probable token. It is
            the inverse of the book's exponent alpha. With top_k or seed alone it is 1.
        top_k: Draw among this many most probable tokens.
        seed: A number, a ``numpy.random.Generator``, or None for different draws each time.

    Returns:
        The prefix, as the model read it, and its continuation, joined as the text was; a token that the vocabulary
        lacks reads ``<unk>``.

    Raises:
        InputError: If num_preds or the temperature is negative, or top_k is not positive.
    """
    choose = token_chooser(temperature, top_k, seed)
    state = net.begin_state(batch_size=1, dtype=tf.float32)

    def step(index: Tensor, state: State) -> tuple[Tensor, State]:
        y, new_state = call(net, tf.reshape(index, (1, 1)), state, training=False)
        return y[0], tf.nest.pack_sequence_as(state, tf.nest.flatten(new_state))

    def most_probable_tokens(index: Tensor, state: State, count: Tensor) -> Tensor:
        """Return ``count`` tokens, each the most probable one after the one before.

        As one graph: a call a token from Python costs more than what is computed.
        """

        def body(
            i: Tensor, index: Tensor, state: State, indices: tf.TensorArray
        ) -> tuple[Tensor, Tensor, State, tf.TensorArray]:
            y, state = step(index, state)
            index = tf.argmax(y, output_type=tf.int32)
            return i + 1, index, state, indices.write(i, index)

        indices = tf.TensorArray(tf.int32, count, element_shape=())
        return tf.while_loop(lambda i, *_: i < count, body, (0, index, state, indices))[3].stack()

    one = compiled(net, "one step", step)
    many = compiled(net, "many steps", most_probable_tokens)

    def next_logits(index: int) -> Array:
        nonlocal state
        y, state = one(tf.constant(index), state)
        return y.numpy()

    return generate(
        prefix, num_preds, vocab, next_logits, choose,
        most_probable_tokens=lambda index, count: many(tf.constant(index), state, tf.constant(count)).numpy(),
    )  # fmt: skip
