"""What the Chinese first edition's port to PyTorch has besides: training by Adam (its section 6.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from d2lrnn.core.checks import check_training
from d2lrnn.core.history import History
from d2lrnn.core.monitor import Monitor
from d2lrnn.editions.characters import characters
from d2lrnn.editions.first_edition_zh import ChineseEdition
from d2lrnn.editions.first_editions import radius

from .training import _run_epoch, detach, parameters, snapshot
from .types import Device, State, Tensor


class _Port(nn.Module):
    """A model as the port runs it: its first state is None.

    Args:
        model: The model.
        vocab_size: Size of the vocabulary.
        carries: Begin where the model was left, as the port does it in the next epoch of a training.
    """

    def __init__(self, model: nn.Module, vocab_size: int, *, carries: bool = False) -> None:
        super().__init__()
        self.model, self.vocab_size, self.carries = model, vocab_size, carries
        self.state: State | None = None

    def forward(self, X: Tensor, state: State | None) -> tuple[Tensor, State]:
        output, state = self.model(X, state)
        self.state = state if self.carries else None
        return output, state

    def begin_state(self, batch_size: int, device: Device) -> State | None:
        return None if self.state is None else detach(self.state)


class ChinesePort(ChineseEdition):
    """The functions of ``d2lrnn.torch.first_edition_zh``.

    Args:
        backend: What computes.
    """

    def predict_rnn_pytorch(
        self,
        prefix: str,
        num_chars: int,
        model: Any,
        vocab_size: int,
        device: Device,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
    ) -> str:
        """Continue a prefix, always by the most probable character.

        Args:
            prefix: A string; it may be empty.
            num_chars: Characters to add.
            model: An ``RNNModel``, or another module that takes None as its first state.
            vocab_size: Size of the vocabulary.
            device: Where the model is.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.

        Returns:
            The prefix and its continuation.

        Raises:
            InputError: As ``predict_rnn_gluon``.
        """
        vocab = characters(idx_to_char, char_to_idx, vocab_size, self.preparation)
        return self._predict(prefix, num_chars, _Port(model, vocab_size), vocab, device)

    def train_and_predict_rnn_pytorch(
        self,
        model: Any,
        num_hiddens: int,
        vocab_size: int,
        device: Device,
        corpus_indices: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
        num_epochs: int,
        num_steps: int,
        lr: Any,
        clipping_theta: Any,
        batch_size: int,
        pred_period: int,
        pred_len: int,
        prefixes: Sequence[str],
    ) -> History:
        """Train a model by Adam from the weights that it has, and print as ``train_and_predict_rnn_gluon`` does.

        As in the port, the state goes on from the end of an epoch to the beginning of the next one. Not as in the port,
        gradients are clipped: there clipping had no effect, since it went twice through ``model.parameters()``, which
        has nothing the second time. ``clipping_theta=None`` is what the port computes.

        Args:
            model: An ``RNNModel``, or another module that takes None as its first state. It is trained in place, and
                moved to the device.
            num_hiddens: Hidden units; not used, since the model knows them.
            vocab_size: Size of the vocabulary.
            device: Where to train.
            corpus_indices: One sequence of indices.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.
            num_epochs: Passes over the corpus.
            num_steps: Characters in a subsequence.
            lr: Learning rate of Adam.
            clipping_theta: Radius of gradient clipping; None for no clipping.
            batch_size: Subsequences in a minibatch.
            pred_period: Epochs from one print to the next.
            pred_len: Characters to add to each prefix.
            prefixes: What to continue.

        Returns:
            The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

        Raises:
            InputError: As ``train_and_predict_rnn_gluon``.
            DivergenceError: As ``train_ch8``.
        """
        vocab, report = self._begin(
            _Port(model, vocab_size), vocab_size, device, idx_to_char, char_to_idx, num_epochs, pred_period,
            pred_len, prefixes,
        )  # fmt: skip
        theta = radius(clipping_theta)
        net: Any = _Port(model, vocab_size, carries=True)
        minibatches = self._epochs(corpus_indices, batch_size, num_steps, device, np.random.default_rng())
        check_training(minibatches, False, lr=lr, num_epochs=num_epochs, theta=theta, net=model, vocab=vocab)
        model.to(device)
        loss, updater = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=lr)
        monitor = Monitor(num_epochs, snapshot(parameters(net)), vocab_size=vocab_size, quiet=True, callback=report)
        with monitor:
            for number in monitor.epochs:
                epoch = _run_epoch(net, minibatches, loss, updater, device, False, theta)
                monitor.check(epoch)
                monitor.add(number, epoch)
        return monitor.history
