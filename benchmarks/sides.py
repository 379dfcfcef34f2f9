"""The programs that ``benchmarks/bench.py`` compares, each in a process of its own.

``python sides.py SIDE BACKEND``, with a JSON object of settings as the first line of standard input, prepares a model
and answers ``{"ready": ...}``. Each further line asks for one thing (see :func:`main`) and is answered with one JSON
line. The sides are

- ``ours``: d2lrnn;
- ``book``: the book's package, d2l 0.17.6, unmodified, in an environment without d2lrnn;
- ``plain``: what users of Keras and PyTorch write themselves, without either package.

This file must therefore import nothing but the standard library until it knows which side it is.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEARNING_RATE = 1.0  # of sections 8.5 and 8.6; a float, because Keras 3 takes no int
MATMUL_SIZE = 1024


def import_framework(backend: str) -> None:
    """Import a framework quietly."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend == "mxnet":
        import numpy

        if "bool" not in vars(numpy):  # NumPy 1.24 to 1.26 have none, and MXNet 1.9.1 asks for it when imported
            numpy.bool = bool  # type: ignore[attr-defined]
    importlib.import_module(backend)


def matmul_rate(backend: str, seconds: float, dtype: str = "float32") -> float:
    """Return the floating-point operations a second of products of two square matrices of a type (NumPy's choice)."""
    n = MATMUL_SIZE
    if backend == "torch":
        import torch

        a, b = torch.ones(n, n), torch.ones(n, n)
        multiply, wait = lambda: torch.mm(a, b), lambda c: c
    elif backend == "mxnet":
        from mxnet import np, npx

        a, b = np.ones((n, n)), np.ones((n, n))
        multiply, wait = lambda: np.dot(a, b), lambda c: npx.waitall()
    elif backend == "numpy":
        import numpy

        a, b = numpy.ones((n, n), dtype), numpy.ones((n, n), dtype)
        multiply, wait = lambda: a @ b, lambda c: c
    else:
        import tensorflow as tf

        a, b = tf.ones((n, n)), tf.ones((n, n))
        multiply, wait = lambda: tf.matmul(a, b), lambda c: c.numpy()
    wait(multiply())
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(5):
            c = multiply()
        wait(c)
        count += 5
    return 2 * n**3 * count / (time.perf_counter() - begin)


class Chapter:
    """What is the same for both packages: the cells of sections 8.5 and 8.6, ``d2l`` being the one or the other.

    A subclass has ``load``, which returns the minibatches and the vocabulary, and ``tensorflow_layer``, the layer of
    section 8.6 in TensorFlow, which is another one in Keras 3.
    """

    def __init__(self, backend: str, settings: dict[str, Any], d2l: Any, lesson: Any) -> None:
        self.settings, self.d2l, self.lesson = settings, d2l, lesson
        self._options: dict[str, Any] = {}
        self.train_iter, self.vocab = self.load()
        net, loss, updater, *device = getattr(self, f"_{backend}")(len(self.vocab), settings["num_hiddens"])
        self._train = net, loss, updater, *device, False
        self._predict = net, self.vocab, *device

    def _scratch(self, V: int, n: int, device: Any) -> Any:
        """Return the net of section 8.5 and what updates it, in PyTorch's and MXNet's call form."""
        d2l, lesson = self.d2l, self.lesson
        net = d2l.RNNModelScratch(V, n, device, lesson.get_params, lesson.init_rnn_state, lesson.rnn)
        return net, lambda batch_size: d2l.sgd(net.params, LEARNING_RATE, batch_size)

    def _torch(self, V: int, n: int) -> Any:
        import torch

        device = self.d2l.try_gpu()
        if self.settings["model"] == "scratch":
            net, updater = self._scratch(V, n, device)
        else:
            net = self.d2l.RNNModel(torch.nn.RNN(V, n), vocab_size=V).to(device)
            updater = torch.optim.SGD(net.parameters(), LEARNING_RATE)
        return net, torch.nn.CrossEntropyLoss(), updater, device

    def _mxnet(self, V: int, n: int) -> Any:
        from mxnet import gluon, init

        device = self.d2l.try_gpu()
        if self.settings["model"] == "scratch":
            net, updater = self._scratch(V, n, device)
        else:
            net = self.d2l.RNNModel(gluon.rnn.RNN(n), V)
            net.initialize(ctx=device, force_reinit=True, init=init.Normal(0.01))
            trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": LEARNING_RATE})
            updater = lambda batch_size: trainer.step(batch_size)  # noqa: E731
        return net, gluon.loss.SoftmaxCrossEntropyLoss(), updater, device

    def _numpy(self, V: int, n: int) -> Any:
        d2l, device = self.d2l, self.d2l.try_gpu()
        if self.settings["model"] == "scratch":
            net, _ = self._scratch(V, n, device)
        else:
            net = d2l.RNNModel(d2l.recurrent_layer("rnn", V, n), V)
        updater = lambda batch_size: d2l.sgd(net.params, net.grads, LEARNING_RATE, batch_size)  # noqa: E731
        if self.settings.get("dtype") == "float32":
            net = net.float()
        return net, importlib.import_module("d2lrnn.numpy.nn").CrossEntropyLoss(), updater, device

    def _tensorflow(self, V: int, n: int) -> Any:
        import tensorflow as tf

        d2l, lesson = self.d2l, self.lesson
        with tf.distribute.OneDeviceStrategy(d2l.try_gpu()._device_name).scope():
            if self.settings["model"] == "scratch":
                net = d2l.RNNModelScratch(V, n, lesson.init_rnn_state, lesson.rnn, lesson.get_params)
            else:
                net = d2l.RNNModel(self.tensorflow_layer(n), vocab_size=V)
                net(tf.zeros((1, 1), tf.int32), net.begin_state(batch_size=1, dtype=tf.float32))
            loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            return net, loss, tf.keras.optimizers.SGD(LEARNING_RATE)

    def epoch(self) -> int:
        """Train for an epoch by ``train_epoch_ch8``."""
        net, loss, updater, *rest = self._train
        begin = time.perf_counter()
        _, speed = self.d2l.train_epoch_ch8(net, self.train_iter, loss, updater, *rest, **self._options)
        # It tells its speed, and not the tokens of the epoch, which are some multiple of a minibatch's
        size = self.settings["batch_size"] * self.settings["num_steps"]
        return max(1, round(speed * (time.perf_counter() - begin) / size)) * size

    def generate(self, length: int) -> str:
        """Continue a prefix by ``predict_ch8``."""
        return self.d2l.predict_ch8("time traveller", length, *self._predict)


class Ours(Chapter):
    """d2lrnn."""

    def __init__(self, backend: str, settings: dict[str, Any]) -> None:
        d2l = importlib.import_module(f"d2lrnn.{backend}")
        form = settings.get("form", "rnn_fast")
        forward_fn = d2l.rnn_fast if form.startswith("rnn_fast") else d2l.rnn
        lesson = types.SimpleNamespace(get_params=d2l.get_params, init_rnn_state=d2l.init_rnn_state, rnn=forward_fn)
        super().__init__(backend, settings, d2l, lesson)
        if form.endswith("jit_compile"):
            self._options = {"jit_compile": True}

    def load(self) -> Any:
        """Return the minibatches and the vocabulary of the text."""
        s = self.settings
        return self.d2l.load_data(
            s["text"], s["batch_size"], s["num_steps"], max_tokens=s["max_tokens"], clean="book", seed=s["seed"]
        )

    def tensorflow_layer(self, num_hiddens: int) -> Any:
        """Return Keras's layer."""
        return self.d2l.recurrent_layer("rnn", len(self.vocab), num_hiddens)


class Lesson:
    """The functions of section 8.5 that the book's package leaves to its reader."""

    def __init__(self, backend: str) -> None:
        getattr(self, f"_{backend}")()

    def _torch(self) -> None:
        import torch

        def get_params(V: int, h: int, device: Any) -> Any:
            shapes = (V, h), (h, h), (h,), (h, V), (V,)
            params = [
                torch.randn(s, device=device) * 0.01 if len(s) > 1 else torch.zeros(s, device=device) for s in shapes
            ]
            return [param.requires_grad_(True) for param in params]

        self.get_params = get_params
        self.init_rnn_state = lambda batch_size, h, device: (torch.zeros((batch_size, h), device=device),)
        self.rnn = self._loop(torch.tanh, torch.mm, lambda outputs: torch.cat(outputs, dim=0))

    def _mxnet(self) -> None:
        from mxnet import np, npx

        npx.set_np()

        def get_params(V: int, h: int, device: Any) -> Any:
            shapes = (V, h), (h, h), (h,), (h, V), (V,)
            params = [np.random.normal(scale=0.01 if len(s) > 1 else 0, size=s, ctx=device) for s in shapes]
            for param in params:
                param.attach_grad()
            return params

        self.get_params = get_params
        self.init_rnn_state = lambda batch_size, h, device: (np.zeros((batch_size, h), ctx=device),)
        self.rnn = self._loop(np.tanh, np.dot, lambda outputs: np.concatenate(outputs, axis=0))

    def _tensorflow(self) -> None:
        import tensorflow as tf

        def get_params(V: int, h: int) -> Any:
            shapes = (V, h), (h, h), (h,), (h, V), (V,)
            return [tf.Variable(tf.random.normal(s, stddev=0.01 if len(s) > 1 else 0)) for s in shapes]

        self.get_params = get_params
        self.init_rnn_state = lambda batch_size, h: (tf.zeros((batch_size, h)),)
        self.rnn = self._loop(tf.tanh, tf.matmul, lambda outputs: tf.concat(outputs, axis=0))

    @staticmethod
    def _loop(tanh: Any, product: Any, concatenate: Any) -> Any:
        def rnn(inputs: Any, state: Any, params: Any) -> Any:
            W_xh, W_hh, b_h, W_hq, b_q = params
            (H,) = state
            outputs = []
            for X in inputs:
                H = tanh(product(X, W_xh) + product(H, W_hh) + b_h)
                outputs.append(product(H, W_hq) + b_q)
            return concatenate(outputs), (H,)

        return rnn


class Book(Chapter):
    """d2l 0.17.6. What it needs to start is given to it from outside; nothing of it is changed."""

    def __init__(self, backend: str, settings: dict[str, Any]) -> None:
        if backend == "torch":  # it is imported for other chapters
            torchvision = types.ModuleType("torchvision")
            torchvision.transforms = types.ModuleType("torchvision.transforms")  # type: ignore[attr-defined]
            sys.modules |= {"torchvision": torchvision, "torchvision.transforms": torchvision.transforms}
        if backend == "tensorflow" and settings["model"] == "concise":
            os.environ["TF_USE_LEGACY_KERAS"] = "1"  # its cell asks for time_major, which Keras 3 has not
        import_framework(backend)
        super().__init__(backend, settings, importlib.import_module(f"d2l.{backend}"), Lesson(backend))

    def load(self) -> Any:
        """Return the minibatches and the vocabulary of the text, where the book's package looks for its own."""
        folder, text = Path(self.settings["folder"]), Path(self.settings["text"])
        for name in ("data", "work"):
            (folder / name).mkdir()
        shutil.copy(text, folder / "data" / "timemachine.txt")
        os.chdir(folder / "work")
        # It reads ../data/timemachine.txt if the hash is right, and would download it otherwise
        sha1 = hashlib.sha1(text.read_bytes()).hexdigest()
        self.d2l.DATA_HUB["time_machine"] = (self.d2l.DATA_URL + "timemachine.txt", sha1)
        return self.d2l.load_data_time_machine(self.settings["batch_size"], self.settings["num_steps"])

    def tensorflow_layer(self, num_hiddens: int) -> Any:
        """Return the layer of the book's cell."""
        from tensorflow import keras

        cell = keras.layers.SimpleRNNCell(num_hiddens, kernel_initializer="glorot_uniform")
        return keras.layers.RNN(cell, time_major=True, return_sequences=True, return_state=True)


class Plain:
    """The same model as users of the framework write it, with nothing of either package.

    Keras: one-hot vectors, ``SimpleRNN``, ``Dense`` and ``Model.fit``. PyTorch: the loop of its word language model's
    example, over one-hot vectors: ``nn.RNN`` and ``nn.Linear`` in a module, a hidden state that is detached between
    minibatches, the library's clipping, and a step of plain gradient descent parameter by parameter.
    """

    def __init__(self, backend: str, settings: dict[str, Any]) -> None:
        self.settings = settings
        import_framework(backend)
        import numpy as np

        lines = Path(settings["text"]).read_text(encoding="utf-8").splitlines()
        text = "".join(re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in lines)
        index = {character: i for i, character in enumerate(sorted(set(text)), 1)}  # 0 is for unknown characters
        self.vocab_size = len(index) + 1
        corpus = np.array([index[character] for character in text[: settings["max_tokens"]]])
        rows = (len(corpus) - 1) // settings["batch_size"]
        used = rows * settings["batch_size"]
        self.inputs = corpus[:used].reshape(settings["batch_size"], rows)
        self.labels = corpus[1 : used + 1].reshape(settings["batch_size"], rows)
        self.epoch = getattr(self, f"_{backend}")()

    def _torch(self) -> Callable[[], int]:
        import torch
        from torch import nn
        from torch.nn import functional as F

        V, n, steps = self.vocab_size, self.settings["num_hiddens"], self.settings["num_steps"]

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = nn.RNN(V, n)
                self.decoder = nn.Linear(n, V)

            def forward(self, X: Any, hidden: Any) -> Any:
                output, hidden = self.rnn(F.one_hot(X, V).float(), hidden)
                return self.decoder(output).view(-1, V), hidden

        inputs = torch.from_numpy(self.inputs).t().contiguous()
        labels = torch.from_numpy(self.labels).t().contiguous()
        model, criterion = Model(), nn.CrossEntropyLoss()

        def epoch() -> int:
            model.train()
            hidden, total, tokens = torch.zeros(1, inputs.shape[1], n), 0.0, 0
            for i in range(0, len(inputs) - steps + 1, steps):
                model.zero_grad()
                hidden = hidden.detach()
                output, hidden = model(inputs[i : i + steps], hidden)
                loss = criterion(output, labels[i : i + steps].reshape(-1))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                for param in model.parameters():
                    param.data.add_(param.grad, alpha=-LEARNING_RATE)
                total += loss.item()
                tokens += steps * inputs.shape[1]
            return tokens

        return epoch

    def _tensorflow(self) -> Callable[[], int]:
        import numpy as np
        import tensorflow as tf

        V, s = self.vocab_size, self.settings
        steps = s["num_steps"]
        count = self.inputs.shape[1] // steps

        def minibatches(rows: Any) -> Any:
            # One after the other, so that row i of a minibatch continues row i of the one before
            return np.concatenate([rows[:, i * steps : (i + 1) * steps] for i in range(count)])

        X, Y = minibatches(self.inputs).astype(np.int32), minibatches(self.labels).astype(np.int32)
        one_hot = tf.keras.layers.Lambda(lambda X: tf.one_hot(X, V), output_shape=(steps, V))
        model = tf.keras.Sequential([
            tf.keras.Input(batch_shape=(s["batch_size"], steps), dtype="int32"),
            one_hot,
            tf.keras.layers.SimpleRNN(s["num_hiddens"], return_sequences=True, stateful=True),
            tf.keras.layers.Dense(V),
        ])  # fmt: skip
        model.compile(
            optimizer=tf.keras.optimizers.SGD(LEARNING_RATE, global_clipnorm=1.0),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

        def epoch() -> int:
            model.layers[1].reset_states()
            model.fit(X, Y, batch_size=s["batch_size"], epochs=1, shuffle=False, verbose=0)
            return X.size

        return epoch


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Prepare a side, which trains by the epoch, and do what the lines of standard input ask for.

    The settings of a side are ``model`` ('scratch' or 'concise'), ``form`` (of ours: what the model is given, and what
    its step is compiled by: 'rnn', 'rnn_fast', 'rnn_fast, jit_compile' or "the framework's layer"), ``num_hiddens``,
    ``batch_size``, ``num_steps``, ``max_tokens``, ``text`` (the path of a text file), ``folder`` (an empty one to work
    in), ``seed`` and ``dtype`` (of the model in NumPy).

    ``{"do": "train", "seconds": s}`` trains whole epochs until s seconds are over, ``{"do": "generate", "length": n}``
    continues a prefix, ``{"do": "matmul", "seconds": s}`` measures the framework's rate of matrix products.
    """
    name, backend = sys.argv[1:3]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a framework prints must not mix with the answers

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    settings = json.loads(sys.stdin.readline())
    side = {"ours": Ours, "book": Book, "plain": Plain}[name](backend, settings)
    answer(ready=True, peak_memory=peak_memory())
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.perf_counter()
        if request["do"] == "train":
            tokens = epochs = 0
            while not epochs or time.perf_counter() - begin < request["seconds"]:
                tokens, epochs = tokens + side.epoch(), epochs + 1
            answer(tokens=tokens, epochs=epochs, seconds=time.perf_counter() - begin, peak_memory=peak_memory())
        elif request["do"] == "generate":
            text = side.generate(request["length"])
            answer(length=len(text), seconds=time.perf_counter() - begin)
        elif request["do"] == "matmul":
            answer(flops_per_second=matmul_rate(backend, request["seconds"], settings.get("dtype", "float64")))


if __name__ == "__main__":
    main()
