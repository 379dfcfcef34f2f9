"""Models, data, and what trains one on the other (edition 1.0, sections 3.2, 3.5 and 4.3)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn

from d2lrnn.edition_1 import base
from d2lrnn.edition_1.board import ProgressBoard
from d2lrnn.edition_1.canonical_form import members
from d2lrnn.errors import InputError
from d2lrnn.mxnet import cpu, try_all_gpus
from d2lrnn.mxnet.concise import check_semantics
from d2lrnn.mxnet.training import warn_of_dropout
from d2lrnn.mxnet.types import Device, Params, Tensor


class Module(base.Module, nn.Block):
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
        params = self.parameters()
        if isinstance(params, list):
            return SGD(params, self.lr)
        return gluon.Trainer(params, "sgd", {"learning_rate": self.lr})

    @property
    def device(self) -> Device | None:
        """Where the parameters are; None if there are none yet."""
        for param in self.get_scratch_params():
            return param.ctx
        for param in self.gluon_params().values():
            return param.list_ctx()[0]
        return None

    def gluon_params(self) -> Any:
        """Return the parameters of Gluon's layers, a ``ParameterDict``."""
        with warnings.catch_warnings():
            # Of models in a list, which hold none of these as a rule
            warnings.filterwarnings("ignore", ".*is an unregistered container with Blocks", UserWarning)
            return self.collect_params()

    def parameters(self) -> Any:
        """Return the parameters of Gluon's layers, a ``ParameterDict``, or else the list of those from scratch.

        Raises:
            InputError: If the model has both.
        """
        params, scratch = self.gluon_params(), self.get_scratch_params()
        if not params.keys():
            return scratch
        if scratch:
            raise InputError(
                f"the model has {len(params.keys())} parameters of Gluon's layers, {len(scratch)} others, and MXNet's "
                "trainer takes Gluon's: use RNNLM over a layer of Gluon's, and RNNLMScratch over one from scratch"
            )
        return params

    def scratch_places(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the place of each parameter from scratch, of this model and of those in it.

        Returns:
            Its path, such as ``rnn.W_xh``; what holds it, an object's ``__dict__`` or a list; and its name or number
            there. (The book leaves out those of models in a list, which it therefore does not train.)
        """
        seen = set()
        for path, holder, name, value in members(self, lambda value: isinstance(value, nn.Block)):
            if isinstance(value, np.ndarray) and id(value) not in seen:
                seen.add(id(value))
                yield path, holder, name

    def get_scratch_params(self) -> Params:
        """Return the parameters from scratch: the arrays that are attributes of this model, or of those in it."""
        return [holder[name] for _, holder, name in self.scratch_places()]

    def set_scratch_params_device(self, device: Device) -> None:
        """Put the parameters from scratch on a device, with gradients attached."""
        for _, holder, name in self.scratch_places():
            holder[name] = holder[name].as_in_ctx(device)
            holder[name].attach_grad()


class SGD:
    """Minibatch stochastic gradient descent for parameters from scratch (edition 1.0, section 3.4.3).

    Args:
        params: Tensors; one without a gradient is left as it is.
        lr: Learning rate.
    """

    def __init__(self, params: Params, lr: float) -> None:
        self.params, self.lr = params, lr

    def step(self, batch_size: int) -> None:
        """Update the parameters, in place.

        Args:
            batch_size: Not used: the loss is a mean already.
        """
        for param in self.params:
            if param.grad is not None:
                param -= self.lr * param.grad


class Minibatches:
    """Minibatches of the rows of some tensors.

    Args:
        tensors: Tensors of the same length.
        batch_size: Rows in a minibatch, of which the last may have fewer.
        shuffle: Whether the rows come in a new order in each pass.
    """

    def __init__(self, tensors: Sequence[Tensor], batch_size: int, shuffle: bool) -> None:
        self.tensors = tensors
        count = len(tensors[0])
        sampler = gluon.data.RandomSampler(count) if shuffle else gluon.data.SequentialSampler(count)
        self._batches = gluon.data.BatchSampler(sampler, batch_size, "keep")

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Tensor]]:
        for rows in self._batches:
            # Gluon's own loader takes the rows one by one, and puts them together again
            index = np.array(rows, dtype="int32")
            yield [a.take(index, axis=0) for a in self.tensors]


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
        return Minibatches([a[indices] for a in tensors], self.batch_size, shuffle=train)


class Trainer(base.Trainer):
    """What trains a model on data (edition 1.0, section 3.2.4).

    Args:
        max_epochs: Passes over the data.
        num_gpus: GPUs to use; of more than there are those that are there, and of several the first.
        gradient_clip_val: The largest norm of the gradients as one vector; 0 leaves them as they are.
    """

    def devices(self) -> list[Device]:
        """Return the GPUs that are there."""
        return [device for device in try_all_gpus() if device.device_type != "cpu"]

    def prepare_batch(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return a minibatch on the device that is used."""
        return [a.as_in_ctx(self.gpus[0]) for a in batch] if self.gpus else batch

    def prepare_model(self, model: Any) -> None:
        """Take a model, and put it on the device that is used."""
        check_semantics()
        super().prepare_model(model)
        if self.gpus:
            model.gluon_params().reset_ctx(self.gpus[0])
            model.set_scratch_params_device(self.gpus[0])
        for param in model.get_scratch_params():
            if param.grad is None:
                param.attach_grad()
        warn_of_dropout(model, model.device or cpu())

    def train_batch(self, batch: Sequence[Any]) -> Any:
        """Take a step of the optimizer on a minibatch, and return its loss."""
        with autograd.record():
            loss = self.model.training_step(batch)
        loss.backward()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)
        return loss

    def clip_gradients(self, grad_clip_val: float, model: Any) -> None:
        """Clip the gradients of a model, in place, so that their norm as one vector is at most grad_clip_val.

        Args:
            grad_clip_val: The largest norm.
            model: The model; parameters without a gradient are skipped.
        """
        params = model.parameters()
        if not isinstance(params, list):
            params = [param.data() for param in params.values() if param.grad_req != "null"]
        grads = [param.grad for param in params if param.grad is not None]
        norm = numpy.sqrt(sum(float((grad**2).sum()) for grad in grads))
        if norm > grad_clip_val:
            for grad in grads:
                grad[:] *= grad_clip_val / norm


class LinearRegression(Module):
    """Linear regression over the framework's layer (edition 1.0, section 3.5). The weights begin at Normal(0.01).

    Args:
        lr: Learning rate.
    """

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Dense(1)
        self.net.initialize(init.Normal(sigma=0.01))

    def forward(self, X: Tensor) -> Tensor:
        """Return outputs (examples, 1) for features (examples, number of features)."""
        return self.net(X)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return half the mean of the squared errors, as MXNet's tab has it."""
        return gluon.loss.L2Loss()(y_hat, y).mean()

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Return the weights and the bias."""
        return self.net.weight.data(), self.net.bias.data()


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
        compare = (Y_hat.argmax(axis=1).astype(Y.dtype) == Y.reshape(-1)).astype("float32")
        return compare.mean() if averaged else compare

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the cross-entropy of outputs and labels in nats, their mean or one for each.

        Args:
            Y_hat: Outputs (..., number of classes).
            Y: Labels (...), indices.
            averaged: Whether to return the mean.
        """
        Y_hat = Y_hat.reshape(-1, Y_hat.shape[-1])
        l = gluon.loss.SoftmaxCrossEntropyLoss()(Y_hat, Y.reshape(-1))
        return l.mean() if averaged else l

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of what each layer of ``self.net`` makes of an input of a shape."""
        X = np.random.randn(*X_shape)
        for layer in self.net:
            X = layer(X)
            print(type(layer).__name__, "output shape:\t", X.shape)
