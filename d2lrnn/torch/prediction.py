"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

from d2lrnn.core.generation import generate, token_chooser
from d2lrnn.data import Vocab
from d2lrnn.data.sampling import Array, Seed

from .concise import RNNModel
from .scratch import RNNModelScratch
from .types import Device

Net: TypeAlias = RNNModelScratch | RNNModel


@contextlib.contextmanager
def mode(net: Any, *, training: bool) -> Iterator[None]:
    """Put a net into the mode for training or that for evaluation while this lasts, and then back as it was.

    Args:
        net: A model of either kind. A module has a mode, and each module in it; a net of plain functions has none.
        training: Whether what acts in training only, such as dropout, acts.
    """
    before = {module: module.training for module in net.modules()} if isinstance(net, nn.Module) else {}
    if before:
        net.train(training)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


def predict_ch8(
    prefix: str | Sequence[str],
    num_preds: int,
    net: Net,
    vocab: Vocab,
    device: Device,
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
        device: Where the model is.
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
    state = net.begin_state(batch_size=1, device=device)

    def next_logits(index: int) -> Array:
        nonlocal state
        y, state = net(torch.tensor([[index]], device=device), state)
        return y[0].cpu().numpy()

    with torch.no_grad(), mode(net, training=False):
        return generate(prefix, num_preds, vocab, next_logits, choose)
