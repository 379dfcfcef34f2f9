"""Models, data, and what trains one on the other (edition 1.0, sections 3.2, 3.5 and 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from d2lrnn.edition_1 import base
from d2lrnn.edition_1.board import ProgressBoard
from d2lrnn.tensorflow import load_array, num_gpus
from d2lrnn.tensorflow.device import gpu
from d2lrnn.tensorflow.types import Device, Grads, Params, Tensor


class Module(base.Module, tf.keras.layers.Layer):
    """The base of models (edition 1.0, section 3.2.2). Your own defines ``forward``, or a ``net``, and ``loss``.

    Args:
        plot_train_per_epoch: Points of training that are plotted in an epoch.
        plot_valid_per_epoch: Points of held-out data that are plotted in an epoch.

    Attributes:
        training: Whether what acts in training only, such as dropout, acts; None where a model around this one says it.
    """

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()
        self.training: bool | None = None

    def build(self, input_shape: Any) -> None:
        """Make no weights: the layers inside make theirs when they are first called."""

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Return what ``forward`` does. Keras tells the layers inside whether this is training."""
        return self.forward(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what ``call`` does, in the mode for training or in that for evaluation."""
        if self.training is not None:
            kwargs.setdefault("training", self.training)
        return super().__call__(*args, **kwargs)

    @property
    def variables(self) -> Params:
        """The variables of this model and of those in it, TensorFlow's own too, which Keras 3 by itself leaves out."""
        own = [value for value in vars(self).values() if isinstance(value, tf.Variable)]
        return list({id(variable): variable for variable in [*super().variables, *own]}.values())

    def configure_optimizers(self) -> Any:
        """Return what updates the parameters: stochastic gradient descent at the learning rate ``self.lr``."""
        return tf.keras.optimizers.SGD(float(self.lr))


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
        return load_array(tuple(a[indices] for a in tensors), self.batch_size, is_train=train)


class Trainer(base.Trainer):
    """What trains a model on data (edition 1.0, section 3.2.4).

    Args:
        max_epochs: Passes over the data.
        num_gpus: GPUs to use. TensorFlow itself puts what it computes on the first one, if there is one.
        gradient_clip_val: The largest norm of the gradients as one vector; 0 leaves them as they are.
    """

    def devices(self) -> list[Device]:
        """Return the GPUs that are there."""
        return [gpu(i) for i in range(num_gpus())]

    def train_batch(self, batch: Sequence[Any]) -> Any:
        """Take a step of the optimizer on a minibatch, and return its loss."""
        with tf.GradientTape() as tape:
            loss = self.model.training_step(batch)
        params = self.model.trainable_variables
        grads = tape.gradient(loss, params)
        params = [param for param, grad in zip(params, grads, strict=True) if grad is not None]
        grads = [grad for grad in grads if grad is not None]
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        self.optim.apply_gradients(zip(grads, params, strict=True))
        return loss

    def set_mode(self, *, training: bool) -> None:
        """Let what acts in training only, such as dropout, act in the model or not."""
        self.model.training = training

    def clip_gradients(self, grad_clip_val: float, grads: Grads) -> Grads:
        """Clip gradients so that their norm as one vector is at most grad_clip_val.

        Args:
            grad_clip_val: The largest norm.
            grads: A list of tensors.

        Returns:
            The list of clipped gradients.
        """
        tensors = [tf.convert_to_tensor(grad) for grad in grads]
        norm = tf.sqrt(sum(tf.reduce_sum(grad**2) for grad in tensors))
        return [grad * grad_clip_val / norm for grad in tensors] if norm > grad_clip_val else tensors


class LinearRegression(Module):
    """Linear regression over the framework's layer (edition 1.0, section 3.5). The weights begin at Normal(0.01).

    Args:
        lr: Learning rate.
    """

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.layers.Dense(1, kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.01))

    def forward(self, X: Tensor) -> Tensor:
        """Return outputs (examples, 1) for features (examples, number of features)."""
        return self.net(X)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the mean of the squared errors."""
        return tf.reduce_mean(tf.square(y - y_hat))

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Return the weights and the bias."""
        return tuple(self.net.get_weights())


class Classifier(base.Classifier, Module):
    """The base of models with a loss of classification (edition 1.0, section 4.3)."""

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the share of outputs whose largest entry is that of the label, or 1 and 0 for each.

        Args:
            Y_hat: Outputs (..., number of classes).
            Y: Labels (...).
            averaged: Whether to return the share.
        """
        Y_hat = tf.reshape(Y_hat, (-1, Y_hat.shape[-1]))
        compare = tf.cast(tf.argmax(Y_hat, axis=1, output_type=Y.dtype) == tf.reshape(Y, (-1,)), tf.float32)
        return tf.reduce_mean(compare) if averaged else compare

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the cross-entropy of outputs and labels in nats, their mean or one for each.

        Args:
            Y_hat: Outputs (..., number of classes).
            Y: Labels (...), indices.
            averaged: Whether to return the mean. (The book's tab always does.)
        """
        Y_hat = tf.reshape(Y_hat, (-1, Y_hat.shape[-1]))
        l = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(Y, (-1,)), Y_hat)
        return tf.reduce_mean(l) if averaged else l

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of what each layer of ``self.net`` makes of an input of a shape."""
        X = tf.random.normal(X_shape)
        for layer in self.net.layers:
            X = layer(X)
            print(type(layer).__name__, "output shape:\t", X.shape)
