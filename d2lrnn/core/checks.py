"""What a network is asked to do, checked before anything is computed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sized
from typing import Any

import numpy as np

from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.system.arguments import require_positive, require_rates


def check_steps(num_steps: int | None) -> None:
    """Check that a sequence has a step; None where its length is not known yet.

    Raises:
        InputError: If it has none.
    """
    if num_steps == 0:
        raise InputError("a sequence without steps has no logits: inputs must have at least one")


def check_losses(losses: Sized, name: str = "train_iter") -> None:
    """Check that an epoch had a minibatch.

    Args:
        losses: A loss for each minibatch that it had.
        name: The argument that they came from.

    Raises:
        InputError: If it had none.
    """
    if not len(losses):
        raise InputError(f"{name} has no minibatches (left): give a loader, which starts anew in each epoch")


def check_training(
    train_iter: Any,
    use_random_iter: bool,
    *,
    lr: Any = 1.0,
    num_epochs: Any = 1,
    theta: Any = 1.0,
    net: Any = None,
    vocab: Any = (),
) -> None:
    """Check what ``train_ch8`` and ``train_epoch_ch8`` are asked to do, before anything is trained.

    Raises:
        InputError: If a number cannot be used, a random iterator is to be read as a sequential one, or the model has
            fewer outputs than the vocabulary has tokens.
    """
    require_positive(num_epochs=num_epochs)
    # NumPy's nets alone keep arrays of NumPy's, and may be in float64
    doubles = any(isinstance(param, np.ndarray) and param.dtype == np.float64 for param in getattr(net, "params", ()))
    require_rates(lr=lr, theta=theta, dtype="float64" if doubles else "float32")
    if len(vocab) > getattr(net, "vocab_size", math.inf):
        raise InputError(
            f"the model was made for {net.vocab_size} tokens, and the vocabulary has {len(vocab)}: "
            "make it with len(vocab)"
        )
    samples_randomly = getattr(train_iter, "use_random_iter", use_random_iter)
    if samples_randomly and not use_random_iter:
        raise InputError(
            "train_iter samples randomly, but use_random_iter=False carries the state over to the next minibatch, "
            "which does not continue this one: pass use_random_iter=True, or load the data with False"
        )
    if use_random_iter and not samples_randomly:
        # The book's cells do this, so it must go on working.
        warnings.warn(
            "use_random_iter=True with an iterator that samples sequentially: each minibatch begins from a state "
            "of zeros, but nothing is sampled at random; load the data with use_random_iter=True for that",
            D2LRNNWarning,
            stacklevel=3,
        )
