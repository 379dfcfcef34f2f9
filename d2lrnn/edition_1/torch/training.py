"""Models, data, and what trains one on the other (edition 1.0, sections 3.2, 3.5 and 4.3)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.edition_1 import base
from d2lrnn.edition_1.board import ProgressBoard
from d2lrnn.torch import load_array, try_all_gpus
from d2lrnn.torch.types import Device, Tensor


class Linear(nn.LazyLinear):
    """A dense layer that learns the size of its inputs from the first ones.

    Args:
        num_outputs: Outputs.
        sigma: Standard deviation of the first weights, the first biases being zeros. By default they are PyTorch's own.
    """

    def __init__(self, num_outputs: int, sigma: float | None = None) -> None:
        self.sigma = sigma
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch says of its lazy layers that they are new
            super().__init__(num_outputs)

    def reset_parameters(self) -> None:
        """Draw the weights anew, if their shape is known; the book draws them before it is, and they are lost."""
        super().reset_parameters()
        if self.in_features and self.sigma is not None:
            nn.init.normal_(self.weight, 0, self.sigma)
            nn.init.zeros_(self.bias)


class Module(base.Module, nn.Module):
    """The base of models (edition 1.0, section 3.2.2). Your own defines ``forward``, or a ``net``, and ``loss``.

    Args:
        plot_train_per_epoch: Points of training that are plotted in an epoch.
        plot_valid_per_epoch: Points of held-out data that are plotted in an epoch.
    """

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def configure_optimizers(self) -> Any:
        """Return what updates the parameters: stochastic gradient descent at the learning rate ``self.lr``."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def apply_init(self, inputs: Sequence[Any], init: Any = None) -> None:
        """Run the model once, so that it has all its weights, and apply a function to the layers of ``self.net``."""
        self.forward(*inputs)
        if init is not None:
            self.net.apply(init)


class DataModule(base.DataModule):
    """The base of data (edition 1.0, section 3.2.3). Your own defines ``get_dataloader``.

    Args:
        root: The folder for what is downloaded.
        num_workers: Kept, and not used: minibatches are made in the process that asks for them.
    """

    def get_tensorloader(self, tensors: Sequence[Any], train: bool, indices: slice = slice(0, None)) -> Iterable[Any]:
        """Return minibatches of ``self.batch_size`` examples each, of which the last may have fewer.

        Args:
            tensors: Tensors of the same length, each with what belongs to an example in the same row.
            train: Shuffle the examples anew in each pass.
            indices: Which of the examples.
        """
        return load_array([a[indices] for a in tensors], self.batch_size, is_train=train)


class Trainer(base.Trainer):
    """What trains a model on data (edition 1.0, section 3.2.4).

    Args:
        max_epochs: Passes over the data.
        num_gpus: GPUs to use; of more than there are those that are there, and of several the first.
        gradient_clip_val: The largest norm of the gradients as one vector; 0 leaves them as they are.
    """

    def devices(self) -> list[Device]:
        """Return the GPUs that are there."""
        return [device for device in try_all_gpus() if device.type != "cpu"]

    def prepare_batch(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return a minibatch on the device that is used."""
        return [a.to(self.gpus[0]) for a in batch] if self.gpus else batch

    def prepare_model(self, model: Any) -> None:
        """Take a model, and put it on the device that is used."""
        super().prepare_model(model)
        if self.gpus:
            model.to(self.gpus[0])

    def train_batch(self, batch: Sequence[Any]) -> Any:
        """Take a step of the optimizer on a minibatch, and return its loss."""
        loss = self.model.training_step(batch)
        self.optim.zero_grad()
        loss.backward()
        with torch.no_grad():  # a reader's own optimizer may be a plain function of the parameters
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step()
        return loss.detach()

    def set_mode(self, *, training: bool) -> None:
        """Let what acts in training only, such as dropout, act in the model or not."""
        self.model.train(training)

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return what the held-out data is read in, where no gradients are needed."""
        return torch.no_grad()

    def clip_gradients(self, grad_clip_val: float, model: Any) -> None:
        """Clip the gradients of a model, in place, so that their norm as one vector is at most grad_clip_val.

        Args:
            grad_clip_val: The largest norm.
            model: The model; parameters without a gradient are skipped.
        """
        grads = [param.grad for param in model.parameters() if param.grad is not None]
        norm = torch.sqrt(sum((torch.sum(grad**2) for grad in grads), torch.zeros(())))
        if norm > grad_clip_val:
            for grad in grads:
                grad *= grad_clip_val / norm


class LinearRegression(Module):
    """Linear regression over the framework's layer (edition 1.0, section 3.5). The weights begin at Normal(0.01).

    Args:
        lr: Learning rate.
    """

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = Linear(1, sigma=0.01)

    def forward(self, X: Tensor) -> Tensor:
        """Return outputs (examples, 1) for features (examples, number of features)."""
        return self.net(X)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the mean of the squared errors."""
        return F.mse_loss(y_hat, y)

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Return the weights and the bias."""
        return self.net.weight.data, self.net.bias.data


class Classifier(base.Classifier, Module):
    """The base of models with a loss of classification (edition 1.0, section 4.3)."""

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the share of outputs whose largest entry is that of the label, or 1 and 0 for each.

        Args:
            Y_hat: Outputs (..., number of classes).
            Y: Labels (...).
            averaged: Whether to return the share.
        """
        Y_hat = Y_hat.reshape(-1, Y_hat.shape[-1])
        compare = (Y_hat.argmax(dim=1) == Y.reshape(-1)).type(torch.float32)
        return compare.mean() if averaged else compare

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the cross-entropy of outputs and labels in nats, their mean or one for each.

        Args:
            Y_hat: Outputs (..., number of classes).
            Y: Labels (...), indices.
            averaged: Whether to return the mean.
        """
        Y_hat = Y_hat.reshape(-1, Y_hat.shape[-1])
        return F.cross_entropy(Y_hat, Y.reshape(-1).long(), reduction="mean" if averaged else "none")

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of what each layer of ``self.net`` makes of an input of a shape."""
        X = torch.randn(*X_shape)
        for layer in self.net:
            X = layer(X)
            print(type(layer).__name__, "output shape:\t", X.shape)
