"""How much memory a model takes, in bytes: a lower bound, so that nothing is refused that would have worked."""

from __future__ import annotations

from d2lrnn.weights.canonical import GATES


def num_weights(kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False) -> int:
    """Return how many weights a model has. Nothing is allocated, however many there are."""
    width, directions = GATES[kind] * num_hiddens, 2 if bidirectional else 1
    biases = 2 if kind == "gru" else 1
    first = width * (vocab_size + num_hiddens + biases)
    further = width * (directions * num_hiddens + num_hiddens + biases)
    return directions * (first + (num_layers - 1) * further) + (directions * num_hiddens + 1) * vocab_size


def of_weights(kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False) -> int:
    """Return the bytes that a model's first weights take at least, in float32."""
    return 4 * num_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional)


def of_training(
    kind: str,
    vocab_size: int,
    num_hiddens: int,
    num_layers: int = 1,
    *,
    batch_size: int = 1,
    num_steps: int = 1,
    itemsize: int = 4,
) -> int:
    """Return the bytes that a training takes at least.

    These are the weights, their gradients and a copy of the last good ones; and of one minibatch, for backpropagation
    through time, the gates and the state of each layer, and the logits and their gradient.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        vocab_size: Tokens of the vocabulary.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers.
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        itemsize: Bytes of a number: 4, and 8 for NumPy's float64.
    """
    weights = num_weights(kind, vocab_size, num_hiddens, num_layers)
    activations = num_steps * batch_size * (num_layers * GATES[kind] * num_hiddens + 2 * vocab_size)
    return itemsize * (3 * weights + activations)
