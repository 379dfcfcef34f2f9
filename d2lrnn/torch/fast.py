"""The recurrent network from scratch, faster than its loop and equal to it.

``rnn`` is written to be read. :func:`rnn_fast` computes the same values and the same gradients, and takes its place as
the ``forward_fn`` of a model. Two things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  product with W_xh, and one with W_hq.
- Backpropagation through time (book section 8.7) is written out: per step one product for the gradient of the state,
  and for W_hh a single product over all steps, where automatic differentiation makes one a step and adds them up.

A single step, such as those of generation, shares nothing: it is the loop's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from d2lrnn.core.checks import check_steps

from .types import Params, State, Tensor


class _Recurrence(torch.autograd.Function):
    """The hidden states H_t = tanh(A_t + H_{t-1} W_hh), with backpropagation through time by hand.

    ``A`` and the result have shape (num_steps * batch_size, num_hiddens), time-major.
    """

    @staticmethod
    def forward(ctx: Any, A: Tensor, H_0: Tensor, W_hh: Tensor) -> Tensor:
        batch_size = len(H_0)
        Hs, H = torch.empty_like(A), H_0
        for A_t, out in zip(A.split(batch_size), Hs.split(batch_size), strict=True):
            H = torch.tanh(torch.addmm(A_t, H, W_hh, out=out), out=out)
        ctx.save_for_backward(Hs, H_0, W_hh)
        return Hs

    @staticmethod
    def backward(ctx: Any, dHs: Tensor) -> tuple[Tensor | None, ...]:
        Hs, H_0, W_hh = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(dHs, Hs, H_0, W_hh)
        batch_size, W_hh_t = len(H_0), W_hh.t()
        tanh_backward = torch.ops.aten.tanh_backward.grad_input
        dAs, dA = torch.empty_like(Hs), None
        for dH, H, out in zip(*(reversed(values.split(batch_size)) for values in (dHs, Hs, dAs)), strict=True):
            # The state's gradient comes from the output of its step, and through the step after it
            dA = tanh_backward(dH if dA is None else torch.addmm(dH, dA, W_hh_t), H, grad_input=out)
        dH_0 = torch.mm(dAs[:batch_size], W_hh_t) if ctx.needs_input_grad[1] else None
        # All products of a step's state with the next step's gradient, added up
        dW_hh = torch.mm(H_0.t(), dAs[:batch_size])
        if len(Hs) > batch_size:
            dW_hh = torch.addmm(dW_hh, Hs[:-batch_size].t(), dAs[batch_size:])
        return dAs, dH_0, dW_hh


_recurrence: Callable[..., Tensor] = _Recurrence.apply  # which has no types


def _differentiable_gradients(dHs: Tensor, Hs: Tensor, H_0: Tensor, W_hh: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of A, H_0 and W_hh by operations that can be differentiated again."""
    batch_size, dAs = len(H_0), list[Tensor]()
    for dH, H in zip(*(reversed(values.split(batch_size)) for values in (dHs, Hs)), strict=True):
        dAs.append((dH + dAs[-1] @ W_hh.t() if dAs else dH) * (1 - H * H))
    dA = torch.cat(dAs[::-1])
    before = torch.cat([H_0, Hs[:-batch_size]])
    return dA, dAs[-1] @ W_hh.t(), before.t() @ dA


def rnn_fast(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """Run the recurrent network over a sequence, as ``rnn`` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What ``get_params`` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.

    Raises:
        InputError: If the sequence has no step.
    """
    check_steps(len(inputs))
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    if len(inputs) == 1:
        H = torch.tanh(torch.mm(inputs[0], W_xh) + torch.mm(H, W_hh) + b_h)
        return torch.mm(H, W_hq) + b_q, (H,)
    H = H.expand(inputs.shape[1], -1)
    A = torch.addmm(b_h, inputs.reshape(-1, inputs.shape[-1]), W_xh)  # (num_steps * batch_size, num_hiddens)
    Hs = _recurrence(A, H.to(A.dtype), W_hh.to(A.dtype))  # another type than theirs in mixed precision
    return torch.addmm(b_q, Hs, W_hq), (Hs[-len(H) :].clone(),)
