"""The classes of edition 1.0 (its section 3.2) as far as they need no framework; each framework's are made of these."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from d2lrnn.core.generation import generate, most_probable
from d2lrnn.core.monitor import is_time_to_draw
from d2lrnn.data.arrays import as_array
from d2lrnn.data.sampling import Array
from d2lrnn.edition_1.board import ProgressBoard
from d2lrnn.edition_1.hyperparameters import HyperParameters
from d2lrnn.errors import DivergenceError, InputError
from d2lrnn.system.arguments import given, require_positive
from d2lrnn.system.interrupts import DroppedInterrupts


class Module(HyperParameters):
    """What the models of all frameworks have (edition 1.0, section 3.2.2).

    Attributes:
        board: The :class:`~d2lrnn.edition_1.board.ProgressBoard` that shows how training goes.
        trainer: The :class:`Trainer` that has it, once there is one.
    """

    board: ProgressBoard
    trainer: Any
    net: Any
    lr: float
    plot_train_per_epoch: int
    plot_valid_per_epoch: int

    def loss(self, y_hat: Any, y: Any) -> Any:
        """Return the loss, a scalar tensor, of outputs and labels."""
        raise NotImplementedError(f"define loss(self, y_hat, y) in {type(self).__name__}")

    def forward(self, X: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return what ``self.net`` makes of the inputs."""
        if (net := getattr(self, "net", None)) is None:
            raise NotImplementedError(f"define forward(self, X) in {type(self).__name__}, or give it a net")
        return net(X)

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Plot a point on the board.

        Args:
            key: What the value is. The line is called ``train_<key>`` or ``val_<key>``.
            value: A number, or a scalar tensor.
            train: Whether it is of training. If so there are ``plot_train_per_epoch`` points in an epoch, else
                ``plot_valid_per_epoch``, each the mean of the values since the last one.

        Raises:
            InputError: If no trainer has the model.
        """
        trainer = getattr(self, "trainer", None)
        if trainer is None:
            raise InputError("the model is not being trained: plot is for the steps of a Trainer's fit")
        self.board.xlabel = "epoch"
        if train:
            x = trainer.train_batch_idx / trainer.num_train_batches
            every_n = trainer.num_train_batches / self.plot_train_per_epoch
        else:
            x = trainer.epoch + 1
            every_n = trainer.num_val_batches / self.plot_valid_per_epoch
        # (0 where an epoch has fewer minibatches than points: each is a point of its own)
        self.board.draw(x, value, ("train_" if train else "val_") + key, every_n=int(every_n))

    def training_step(self, batch: Sequence[Any]) -> Any:
        """Return the loss of a minibatch, whose last tensor is the labels, and plot it."""
        l = self.loss(self(*batch[:-1]), batch[-1])  # type: ignore[operator]
        self.plot("loss", l, train=True)
        return l

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Plot the loss of a minibatch, whose last tensor is the labels."""
        l = self.loss(self(*batch[:-1]), batch[-1])  # type: ignore[operator]
        self.plot("loss", l, train=False)

    def configure_optimizers(self) -> Any:
        """Return what updates the parameters: stochastic gradient descent at the learning rate ``self.lr``."""
        raise NotImplementedError(f"define configure_optimizers(self) in {type(self).__name__}")


class Classifier(Module):
    """What the models with a loss of classification have in all frameworks (edition 1.0, section 4.3)."""

    def accuracy(self, Y_hat: Any, Y: Any, averaged: bool = True) -> Any:
        """Return the share of outputs whose largest entry is that of the label, or 1 and 0 for each."""
        raise NotImplementedError

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Plot the loss and the accuracy of a minibatch, whose last tensor is the labels."""
        Y_hat = self(*batch[:-1])  # type: ignore[operator]
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)
        self.plot("acc", self.accuracy(Y_hat, batch[-1]), train=False)


def perplexity(loss: Any) -> float:
    """Return the perplexity of a loss in nats, a scalar tensor: infinite where no number is large enough."""
    with np.errstate(over="ignore"):
        return float(np.exp(np.float64(as_array(loss))))


class LanguageModel(Module):
    """What the language models have in all frameworks (edition 1.0, section 9.5)."""

    rnn: Any
    vocab_size: int

    def training_step(self, batch: Sequence[Any]) -> Any:
        """Return the loss of a minibatch in nats, and plot its perplexity."""
        l = self.loss(self(*batch[:-1]), batch[-1])  # type: ignore[operator]
        self.plot("ppl", perplexity(l), train=True)
        return l

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Plot the perplexity of a minibatch."""
        l = self.loss(self(*batch[:-1]), batch[-1])  # type: ignore[operator]
        self.plot("ppl", perplexity(l), train=False)

    def step(self, index: int, state: Any, device: Any = None) -> tuple[Array, Any]:
        """Return the logits of the next token, an array of shape (vocab_size,), and the new state.

        Args:
            index: The token before.
            state: What the recurrent network returned last; None for its first state.
            device: Where the model is.
        """
        raise NotImplementedError

    def predict(self, prefix: str | Sequence[str], num_preds: int, vocab: Any, device: Any = None) -> str:
        """Continue a prefix with the most probable tokens (edition 1.0, section 9.5.5).

        Args:
            prefix: A string, which is read as the vocabulary's text was; by a vocabulary made by hand it is read as it
                is. Or a list of tokens.
            num_preds: Tokens to add.
            vocab: The vocabulary.
            device: Where the model is; it may be left out.

        Returns:
            The prefix and its continuation. A token that the vocabulary lacks reads ``<unk>``.

        Raises:
            InputError: If num_preds is negative.
        """
        state = None

        def next_logits(index: int) -> Array:
            nonlocal state
            logits, state = self.step(index, state, device)
            return logits

        return generate(prefix, num_preds, vocab, next_logits, most_probable)


class EncoderDecoder(Module):
    """What the encoders with a decoder have in all frameworks (edition 1.0, section 10.6.3)."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, enc_X: Any, dec_X: Any, *args: Any) -> Any:
        """Return the decoder's output, for its input dec_X and the encoder's input enc_X.

        The further arguments, valid lengths for one, go to the encoder and to the decoder's ``init_state``.
        """
        state = self.decoder.init_state(self.encoder(enc_X, *args), *args)
        return self.decoder(dec_X, state)[0]


class DataModule(HyperParameters):
    """What data has in all frameworks (edition 1.0, section 3.2.3).

    Args:
        root: The folder for what is downloaded.
        num_workers: Kept, and not used: minibatches are made in the process that asks for them.
    """

    root: str
    num_workers: int
    batch_size: int

    def __init__(self, root: str = "../data", num_workers: int = 4) -> None:
        self.save_hyperparameters()

    def get_dataloader(self, train: bool) -> Any:
        """Return the minibatches for training, or those that are held out."""
        raise NotImplementedError(f"define get_dataloader(self, train) in {type(self).__name__}")

    def train_dataloader(self) -> Any:
        """Return the minibatches for training."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Any:
        """Return the minibatches that are held out."""
        return self.get_dataloader(train=False)

    def get_tensorloader(self, tensors: Sequence[Any], train: bool, indices: slice = slice(0, None)) -> Any:
        """Return minibatches of ``self.batch_size`` examples each, of which the last may have fewer.

        Args:
            tensors: Tensors of the same length, each with what belongs to an example in the same row.
            train: Shuffle the examples anew in each pass.
            indices: Which of the examples.
        """
        raise NotImplementedError


class Trainer(HyperParameters):
    """What trains a model on data in all frameworks (edition 1.0, section 3.2.4).

    Args:
        max_epochs: Passes over the data.
        num_gpus: GPUs to use; of more than there are those that are there, and of several the first.
        gradient_clip_val: The largest norm of the gradients as one vector; 0 leaves them as they are.

    Attributes:
        gpus: The devices to use, none for the CPU.
        epoch: The epoch, counted from 0.
        train_batch_idx: Minibatches so far.
        val_batch_idx: Minibatches of held-out data so far.
        optim: What the model's ``configure_optimizers`` returned.

    Raises:
        InputError: If max_epochs is not positive, or another number is negative.
    """

    max_epochs: int
    num_gpus: int
    gradient_clip_val: float
    model: Any
    optim: Any

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0) -> None:
        require_positive(max_epochs=max_epochs)
        if not hasattr(num_gpus, "__index__") or num_gpus < 0:
            raise InputError(f"num_gpus must be a whole number of at least 0, not {given(num_gpus)}")
        if not (isinstance(gradient_clip_val, (int, float, np.number)) and gradient_clip_val >= 0):
            raise InputError(f"gradient_clip_val must be a number of at least 0, not {given(gradient_clip_val)}")
        self.save_hyperparameters()
        self.gpus: list[Any] = self.devices()[:num_gpus]

    def devices(self) -> list[Any]:
        """Return the GPUs that are there."""
        raise NotImplementedError

    def prepare_data(self, data: DataModule) -> None:
        """Get the minibatches of the data.

        Raises:
            InputError: If there are none to train on.
        """
        self.train_dataloader: Any = data.train_dataloader()
        self.val_dataloader: Any = data.val_dataloader()
        self.num_train_batches = len(self.train_dataloader)
        self.num_val_batches = len(self.val_dataloader) if self.val_dataloader is not None else 0
        if not self.num_train_batches:
            raise InputError("the data has no minibatch to train on: give more of it, or a smaller batch_size")

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return a minibatch on the device that is used."""
        return batch

    def prepare_model(self, model: Any) -> None:
        """Take a model, and put it on the device that is used."""
        model.trainer = self
        model.board.xlim = [0, self.max_epochs]
        self.model = model

    def fit(self, model: Any, data: DataModule) -> None:
        """Train a model from the weights that it has.

        Args:
            model: A ``Module``.
            data: Its data.

        Raises:
            InputError: If the data has no minibatches.
            DivergenceError: If the loss is NaN or infinite at the end of an epoch. The weights are then of no use.
        """
        self.prepare_data(data)
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.epoch = self.train_batch_idx = self.val_batch_idx = 0
        with DroppedInterrupts() as interrupts, model.board.held():
            try:
                for epoch in range(self.max_epochs):
                    self.epoch = epoch
                    self.fit_epoch()
                    if is_time_to_draw(epoch + 1, self.max_epochs):
                        model.board.show()
                    interrupts.check()
            finally:  # after Ctrl-C in the middle of an epoch, too
                self.set_mode(training=False)

    def fit_epoch(self) -> None:
        """Train for an epoch, and evaluate the model on the data that is held out."""
        self.set_mode(training=True)
        for batch in self.train_dataloader:
            loss = self.train_batch(self.prepare_batch(batch))
            self.train_batch_idx += 1
        self.check_loss(loss)
        self.set_mode(training=False)
        with self.evaluating():
            for batch in self.val_dataloader if self.val_dataloader is not None else ():
                self.model.validation_step(self.prepare_batch(batch))
                self.val_batch_idx += 1

    def train_batch(self, batch: Sequence[Any]) -> Any:
        """Take a step of the optimizer on a minibatch, and return its loss."""
        raise NotImplementedError

    def set_mode(self, *, training: bool) -> None:
        """Let what acts in training only, such as dropout, act in the model or not."""

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return what the held-out data is read in, where no gradients are needed."""
        return nullcontext()

    def check_loss(self, loss: Any) -> None:
        """Check the loss of an epoch's last minibatch.

        Raises:
            DivergenceError: If it is NaN or infinite.
        """
        if not np.isfinite(as_array(loss)).all():
            raise DivergenceError(
                f"the loss is NaN or infinite at the end of epoch {self.epoch + 1}: the weights are of no use; make "
                "the model anew, and try a smaller learning rate, or gradient_clip_val=1",
                self.epoch + 1,
                self.num_train_batches,
            )
