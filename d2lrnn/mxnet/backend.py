"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

import numpy
from mxnet import autograd, gluon, np

from d2lrnn.errors import InputError
from d2lrnn.mxnet import prediction, training
from d2lrnn.mxnet.concise import LAYERS, RNNModel, recurrent_layer
from d2lrnn.mxnet.data import SeqDataLoader
from d2lrnn.mxnet.device import device_name, device_names, get_device
from d2lrnn.mxnet.fast import rnn_fast
from d2lrnn.mxnet.scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from d2lrnn.mxnet.threads import num_threads, set_num_threads
from d2lrnn.weights import canonical

__all__ = [
    "SeqDataLoader",
    "build_model",
    "device_name",
    "device_names",
    "forward",
    "get_device",
    "get_weights",
    "kind_of",
    "loss_and_gradients",
    "num_parameters",
    "num_threads",
    "predict",
    "set_num_threads",
    "set_weights",
    "train",
]


def build_model(kind, vocab_size, num_hiddens, num_layers=1, *, bidirectional=False, device="auto", seed=None):
    """Return a model whose trained parameters are exactly the canonical ones, and its device.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        vocab_size: Size of the vocabulary.
        num_hiddens: Hidden units in each layer and direction.
        num_layers: Layers.
        bidirectional: Read the sequence from both ends.
        device: A name for :func:`get_device`.
        seed: Of the first weights; the same seed gives the same ones in every backend.

    Raises:
        InputError: If the kind or the device is unknown, or a size is not positive.
    """
    weights = canonical.initial_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional, seed=seed)
    device = get_device(device)
    if kind == "rnn-scratch":
        net = RNNModelScratch(vocab_size, num_hiddens, device, get_params, init_rnn_state, rnn_fast)
    else:
        layer = recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional)
        net = RNNModel(layer, vocab_size)
        net.initialize(ctx=device)
        net(np.zeros((1, 1), dtype="int32", ctx=device), net.begin_state(batch_size=1, ctx=device))
        if kind != "gru":
            # A second bias that is only ever added to the first would double the bias's learning rate.
            net.rnn.collect_params(".*h2h_bias").setattr("grad_req", "null")
    set_weights(net, weights)
    return net, device


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {
    "layout": "TNC",
    "dropout": 0,
    "projection_size": None,
    "lstm_state_clip_min": None,
    "lstm_state_clip_max": None,
    "use_sequence_length": False,
}


def kind_of(net):
    """Return the kind of a model: one of :data:`d2lrnn.weights.canonical.KINDS`.

    Raises:
        InputError: If the canonical weights would not say all of what it computes; the message says why.
    """
    if isinstance(net, RNNModelScratch) and net.forward_fn in (rnn, rnn_fast):
        return "rnn-scratch"
    if not isinstance(net, RNNModel):
        raise InputError(
            f"the weights of {type(net).__name__} have no canonical form: use a model of build_model's kinds"
        )
    return _layer_kind(net.rnn)


def _layer_kind(layer):
    name = type(layer).__name__
    for kind, (layer_class, options) in LAYERS.items():
        # A subclass may compute something else. Gluon keeps the activation in the name of the layer's mode.
        if type(layer) is layer_class and layer._mode.endswith(options.get("activation", "")):
            for option, value in _PLAIN.items():
                if (given := getattr(layer, f"_{option}")) != value:
                    raise InputError(
                        f"the weights of {name} with {option}={given!r} have no canonical form: "
                        f"make the layer with {option}={value!r}"
                    )
            return kind
    raise InputError(f"the weights of {name} have no canonical form: use a layer of recurrent_layer's kinds")


def _layers(net):
    """Yield, for each layer and direction, the canonical prefix and Gluon's name of it."""
    directions = ("l", "r") if net.rnn._dir == 2 else ("l",)
    for layer, prefixes in enumerate(canonical.layer_prefixes(net.rnn._num_layers, net.rnn._dir == 2)):
        for prefix, direction in zip(prefixes, directions, strict=True):
            yield prefix, f"{direction}{layer}"


def _read(net, of):
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    if kind == "rnn-scratch":
        return {name: of(param) for name, param in zip(canonical.SCRATCH_NAMES, net.params, strict=True)}
    result = {}
    for prefix, layer in _layers(net):
        W_xh, W_hh, b_h, b_hh = (
            of(getattr(net.rnn, f"{layer}_{name}")) for name in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
        )
        # MXNet keeps its matrices transposed: (gates * num_hiddens, inputs)
        result |= {prefix + "W_xh": W_xh.T, prefix + "W_hh": W_hh.T}
        result |= {prefix + "b_h": b_h, prefix + "b_hh": b_hh} if kind == "gru" else {prefix + "b_h": b_h + b_hh}
    return result | {"output.W_hq": of(net.dense.weight).T, "output.b_q": of(net.dense.bias)}


def _value(param):
    return (param.data() if isinstance(param, gluon.Parameter) else param).asnumpy().copy()


def _gradient(param):
    if isinstance(param, gluon.Parameter):
        return numpy.zeros(param.shape, "float32") if param.grad_req == "null" else param.grad().asnumpy().copy()
    return param.grad.asnumpy().copy()


def get_weights(net):
    """Return a model's weights as canonical NumPy arrays, copied."""
    return _read(net, _value)


def set_weights(net, weights):
    """Give a model canonical weights, in place.

    Raises:
        InputError: If a name or a shape is not the model's.
    """
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind = kind_of(net)

    def write(param, value):
        array = param.data() if isinstance(param, gluon.Parameter) else param
        array[:] = np.array(value, dtype="float32", ctx=array.ctx)

    if kind == "rnn-scratch":
        for name, param in zip(canonical.SCRATCH_NAMES, net.params, strict=True):
            write(param, weights[name])
        return
    for prefix, layer in _layers(net):
        write(getattr(net.rnn, f"{layer}_i2h_weight"), weights[prefix + "W_xh"].T)
        write(getattr(net.rnn, f"{layer}_h2h_weight"), weights[prefix + "W_hh"].T)
        b_h = weights[prefix + "b_h"]
        write(getattr(net.rnn, f"{layer}_i2h_bias"), b_h)
        write(
            getattr(net.rnn, f"{layer}_h2h_bias"),
            weights[prefix + "b_hh"] if kind == "gru" else numpy.zeros_like(b_h),
        )
    write(net.dense.weight, weights["output.W_hq"].T)
    write(net.dense.bias, weights["output.b_q"])


def num_parameters(net):
    """Return the number of trained parameters."""
    return sum(param.size for param in training.parameters(net))


def _begin_state(net, batch_size, state, device):
    if state is None:
        return net.begin_state(batch_size=batch_size, ctx=device)
    parts = [np.array(numpy.asarray(s), dtype="float32", ctx=device) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return parts


def _state(net, state):
    """Return a framework's state in its canonical form."""
    arrays = [part.asnumpy() for part in state]
    return (arrays[0][None],) if isinstance(net, RNNModelScratch) else tuple(arrays)


def forward(net, X, state=None):
    """Run a model over a minibatch.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new canonical state.
    """
    device = training.parameters(net)[0].ctx
    X = np.array(numpy.asarray(X), dtype="int32", ctx=device)
    y_hat, new_state = net(X, _begin_state(net, X.shape[0], state, device))
    return y_hat.asnumpy(), _state(net, new_state)


def loss_and_gradients(net, X, Y, state=None, *, theta=None):
    """Return a minibatch's mean loss in nats, the canonical gradients, and their norm before clipping.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        Y: Array of labels, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.
        theta: Clip the gradients at this norm, by ``grad_clipping``; None leaves them as they are.
    """
    device = training.parameters(net)[0].ctx
    X, y = (np.array(a, dtype="int32", ctx=device) for a in (numpy.asarray(X), numpy.asarray(Y).T.reshape(-1)))
    begin = _begin_state(net, X.shape[0], state, device)
    with autograd.record():
        y_hat, _ = net(X, begin)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(y_hat, y).mean()
    loss.backward()
    norm = training.grad_clipping(net, numpy.inf if theta is None else theta)
    return float(loss), _read(net, _gradient), float(norm)


def train(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False, **options):
    """Train a model on a device of :func:`get_device`: ``train_ch8``, whatever the framework."""
    return training.train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter, **options)


def predict(prefix, num_preds, net, vocab, device, **options):
    """Continue a prefix on a device of :func:`get_device`: ``predict_ch8``, whatever the framework."""
    return prediction.predict_ch8(prefix, num_preds, net, vocab, device, **options)
