"""The recurrent network from scratch, faster than its loop and equal to it.

:func:`~d2lrnn.torch.scratch.rnn` is written to be read. :func:`rnn_fast` computes the same values and the same
gradients, and is what ``RNNModelScratch`` runs in its place. Three things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  lookup in W_xh (a product with a one-hot vector picks a row), and one product with W_hq.
- Backpropagation through time (book section 8.7) is written out: per step one product for the gradient of the state,
  and for W_hh a single product over all steps, where automatic differentiation makes one a step and adds them up.
- Products of a small minibatch run through oneDNN, which uses the processor's widest instructions on any make.
"""

import platform

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F

# Hidden units from which on layer_fast is faster than nn.RNN, whose loop over the steps is not Python's. Measured: 0.82
# times as fast at 64 units, 0.98 at 128, 1.1 at 192, 1.25 at 256.
LEAST_HIDDENS_FOR_LAYER = 192

# Of each activation: itself, into ``out``; and the gradient of its input from that of its output, by the output, into
# ``out`` and as an operation that can be differentiated
ACTIVATIONS = {
    "tanh": (
        torch.tanh,
        lambda grad, Y, out: torch.ops.aten.tanh_backward.grad_input(grad, Y, grad_input=out),
        lambda grad, Y: grad * (1 - Y * Y),
    ),
    "relu": (
        lambda X, out: torch.clamp(X, min=0, out=out),
        lambda grad, Y, out: torch.ops.aten.threshold_backward.grad_input(grad, Y, 0, grad_input=out),
        lambda grad, Y: grad * (Y > 0),
    ),
}


def _onednn_product():
    """Return oneDNN's ``a + X W``, as the compiler of PyTorch calls it, or None where it is not to be had.

    It is no public function: hence the trial.
    """
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return None
    try:
        product = torch.ops.mkldnn._linear_pointwise.binary
        twice = product(torch.eye(2), torch.eye(2), torch.eye(2), None, "add")
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return None
    return product if torch.equal(twice, 2 * torch.eye(2)) else None


_ONEDNN_PRODUCT = _onednn_product()


def _product_with(W):
    """Return the function of A and X that returns A + X W."""
    onednn = _ONEDNN_PRODUCT is not None and torch.backends.mkldnn.enabled
    if onednn and W.device.type == "cpu" and W.dtype == torch.float32:
        W_t = W.t()

        def plus_product(A, X):
            # It does not check what it is given
            if len(X) and (*A.shape, X.shape[1]) == (len(X), *W_t.shape):
                return _ONEDNN_PRODUCT(X, A, W_t, None, "add")
            return torch.addmm(A, X, W)

        return plus_product
    return lambda A, X: torch.addmm(A, X, W)


class _Recurrence(torch.autograd.Function):
    """The hidden states H_t = activation(A_t + H_{t-1} W_hh), with backpropagation through time by hand.

    ``A`` and the result have shape (num_steps * batch_size, num_hiddens), time-major; the result is written over ``A``.
    """

    @staticmethod
    def forward(ctx, A, H_0, W_hh, activation):
        apply, *_ = ACTIVATIONS[activation]
        plus_product, H = _product_with(W_hh), H_0
        for A_t in A.split(len(H_0)):
            H = apply(plus_product(A_t, H), out=A_t)
        ctx.mark_dirty(A)
        ctx.save_for_backward(A, H_0, W_hh)
        ctx.activation = activation
        return A

    @staticmethod
    def backward(ctx, dHs):
        Hs, H_0, W_hh = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_eager():
            return *_differentiable_gradients(dHs, Hs, H_0, W_hh, ctx.activation), None
        _, slope, _ = ACTIVATIONS[ctx.activation]
        plus_product, batch_size = _product_with(W_hh.t()), len(H_0)
        dAs, dA = torch.empty_like(Hs), None
        for dH, H, out in zip(*(reversed(values.split(batch_size)) for values in (dHs, Hs, dAs)), strict=True):
            # The state's gradient comes from the output of its step, and through the step after it
            dA = slope(dH if dA is None else plus_product(dH, dA), H, out)
        dH_0 = torch.mm(dA, W_hh.t()) if ctx.needs_input_grad[1] else None
        # All products of a step's state with the next step's gradient, added up
        dW_hh = torch.mm(H_0.t(), dAs[:batch_size])
        if len(Hs) > batch_size:
            dW_hh = _product_with(dAs[batch_size:])(dW_hh, Hs[:-batch_size].t())
        return dAs, dH_0, dW_hh, None


def _differentiable_gradients(dHs, Hs, H_0, W_hh, activation):
    """Return the gradients of A, H_0 and W_hh by operations that can be differentiated again."""
    *_, slope = ACTIVATIONS[activation]
    batch_size, dAs = len(H_0), []
    for dH, H in zip(*(reversed(values.split(batch_size)) for values in (dHs, Hs)), strict=True):
        dAs.append(slope(dH + dAs[-1] @ W_hh.t() if dAs else dH, H))
    dA = torch.cat(dAs[::-1])
    before = torch.cat([H_0, Hs[:-batch_size]])
    return dA, dAs[-1] @ W_hh.t(), before.t() @ dA


def rnn_fast(inputs, state, params):
    """Run the recurrent network over a sequence, as :func:`~d2lrnn.torch.scratch.rnn` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size), or just the indices, shape
            (num_steps, batch_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What :func:`~d2lrnn.torch.scratch.get_params` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    if not len(inputs):
        raise ValueError("a sequence without steps has no logits: inputs must have at least one")
    H = H.expand(inputs.shape[1], -1)
    if inputs.dim() == 2:
        A = F.embedding(inputs.reshape(-1), W_xh + b_h)  # (num_steps * batch_size, num_hiddens)
    else:
        A = torch.addmm(b_h, inputs.reshape(-1, inputs.shape[-1]), W_xh)
    Hs = _Recurrence.apply(A, H, W_hh, "tanh")  # (num_steps * batch_size, num_hiddens)
    return torch.addmm(b_q, Hs, W_hq), (Hs[-len(H) :].clone(),)


def layer_fast(layer, X, state):
    """Run a recurrent layer of the framework over a sequence, and a plain ``nn.RNN`` on a CPU as :func:`rnn_fast` does.

    Args:
        layer: ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, time-major.
        X: Inputs, shape (num_steps, batch_size, inputs).
        state: The layer's state.

    Returns:
        What ``layer(X, state)`` returns.
    """
    # On a GPU the layer is one call of cuDNN, and without gradients there is little to win
    pays = X.device.type == "cpu" and torch.is_grad_enabled() and layer.hidden_size >= LEAST_HIDDENS_FOR_LAYER
    if not (pays and is_eager() and is_plain(layer)) or state is None:
        return layer(X, state)
    if state.shape != (layer.num_layers, X.shape[1], layer.hidden_size):
        return layer(X, state)  # which says what is wrong with it
    num_steps, batch_size, _ = X.shape
    Y, new_state = X.reshape(num_steps * batch_size, -1), []
    for H, (W_ih, W_hh, b_ih, b_hh) in zip(state, layer.all_weights, strict=True):
        A = torch.addmm(b_ih + b_hh, Y, W_ih.t())  # (num_steps * batch_size, num_hiddens)
        Y = _Recurrence.apply(A, H, W_hh.t(), layer.mode.removeprefix("RNN_").lower())
        new_state.append(Y[-batch_size:])
    return Y.reshape(num_steps, batch_size, -1), torch.stack(new_state)


def is_plain(layer):
    """Return whether a layer is an ``nn.RNN`` of which nothing is changed, read in one direction."""
    if type(layer) is not nn.RNN or not layer.bias or layer.bidirectional or layer.batch_first or layer.dropout:
        return False
    return not has_hooks(layer)


def has_hooks(module):
    """Return whether a module has hooks, or a forward function of its own, which only a call of the module runs."""
    own = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(own) or nn.modules.module._has_any_global_hook() or "forward" in vars(module)


def is_eager():
    """Return whether operators run just as they are called: not traced, compiled, transformed, or made less precise."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    # torch.func's transformations, and derivatives in forward mode
    return torch._C._functorch.peek_interpreter_stack() is None and forward_ad._current_level < 0


def step_fast(params, state, activation="tanh"):
    """Return a function that feeds one token to the network and returns the logits of the next, without gradients.

    Args:
        params: What :func:`~d2lrnn.torch.scratch.get_params` returned.
        state: The first hidden state, shape (1, num_hiddens), in a tuple or as the layer has it.
        activation: ``'tanh'`` or ``'relu'``.

    Returns:
        A function of an index that returns an array of shape (vocab_size,). It keeps the state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = (param.detach() for param in params)
    apply, *_ = ACTIVATIONS[activation]
    H = state[0].detach().clone()
    rows = (W_xh + b_h).split(1)  # of each token, what it adds to the hidden layer

    def step(index):
        apply(torch.addmm(rows[index], H, W_hh), out=H)
        return torch.addmm(b_q, H, W_hq).cpu().numpy()[0]

    return step
