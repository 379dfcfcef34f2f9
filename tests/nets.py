"""Nets for the tests of what runs: how they are made, given weights, called, trained, and followed while they run."""

import importlib

import numpy as np

from d2lrnn.core.generation import generate, token_chooser
from d2lrnn.data import Vocab

VOCAB = Vocab("the quick brown fox jumps over a lazy dog")  # as many tokens as an English text has, <unk> included
V, H, B, T = len(VOCAB), 32, 8, 12


def module(backend, name):
    return importlib.import_module(f"d2lrnn.{backend.name}.{name}")


def count_calls(monkeypatch, owner, name):
    """Return a list that grows with each call of a function."""
    calls, function = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def fail(*args, **kwargs):
    raise RuntimeError("this does not work here")


def parameters(backend, net):
    return module(backend, "training").parameters(net)


def randomise(backend, net, rng):
    """Give a net or a layer weights that are all different and large enough to matter, biases included."""
    for param in parameters(backend, net):
        shape = tuple(param.shape)
        value = rng.normal(0, max(shape) ** -0.5, shape).astype("float32")
        if backend.name == "tensorflow":
            param.assign(value)
        else:
            (param.data if backend.name == "torch" else param)[:] = backend.tensor(value)


def ready(backend, kind, rng, num_layers=1):
    """Return a net that has run, so that all its weights are there, and whose weights are drawn."""
    net = backend.scratch(V, H) if kind == "rnn-scratch" else backend.concise(kind, V, H, num_layers)
    call(backend, net)
    randomise(backend, net, rng)
    return net


def call(backend, net):
    """Return the logits of a minibatch."""
    logits, _ = net(backend.tensor(np.zeros((B, T), np.int32)), backend.begin_state(net, B))
    return backend.numpy(logits)


def generated(backend, net, prefix="the fox", num_preds=40, **options):
    return backend.predict(prefix, num_preds, net, VOCAB, **options)


def losses_of(backend, net, epochs=2, num_steps=20, **options):
    """Return the losses of a few steps of training."""
    train_iter, vocab = backend.d2l.load_data("story", 16, num_steps, False, 150 * num_steps, seed=0)
    losses = []
    callback = lambda number, epoch: losses.extend(epoch.losses.tolist())  # noqa: E731 (one line)
    backend.train(net, train_iter, vocab, 1, epochs, callback=callback, **options)
    return losses


def copy_of(rnn, calls):
    """Return a forward function that computes what ``rnn`` does, and is another one; it appends to a list."""

    def forward_fn(inputs, state, params):
        calls.append(len(inputs))
        return rnn(inputs, state, params)

    if hasattr(rnn, "backward"):  # NumPy does not differentiate
        forward_fn.backward = rnn.backward
    return forward_fn


def generated_by_hand(backend, net, prefix="the fox", num_preds=40, **options):
    """Return what a net writes token by token, by its own call and nothing else."""
    state = backend.begin_state(net, 1)

    def step(index):
        nonlocal state
        logits, state = net(backend.tensor(np.array([[index]], np.int32)), state)
        return backend.numpy(logits)[0]

    return generate(prefix, num_preds, VOCAB, step, token_chooser(**options))
