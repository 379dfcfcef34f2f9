"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

import torch
from torch import nn

from d2lrnn.generation import generate, token_chooser
from d2lrnn.torch.concise import RNNModel
from d2lrnn.torch.fast import has_hooks, is_plain, step_fast
from d2lrnn.torch.scratch import RNNModelScratch, rnn


def _plain_params(net):
    """Return the parameters of the function ``rnn`` where a net computes it, and its activation; else None."""
    if type(net) is RNNModelScratch and net.forward_fn is rnn:
        return net.params, "tanh"
    if type(net) is not RNNModel or has_hooks(net) or has_hooks(net.linear):
        return None
    if type(net.linear) is nn.Linear and net.linear.bias is not None and is_plain(net.rnn) and net.rnn.num_layers == 1:
        W_ih, W_hh, b_ih, b_hh = net.rnn.all_weights[0]
        return (W_ih.t(), W_hh.t(), b_ih + b_hh, net.linear.weight.t(), net.linear.bias), net.rnn.nonlinearity
    return None


def _step_function(net, device):
    """Return a function that feeds a token's index to a net and returns the logits (vocab_size,) of the next."""
    state = net.begin_state(batch_size=1, device=device)
    if plain := _plain_params(net):
        params, activation = plain
        return step_fast(params, state, activation)

    def step(index):
        nonlocal state
        y, state = net(torch.tensor([[index]], device=device), state)
        return y[0].cpu().numpy()

    return step


def predict_ch8(prefix, num_preds, net, vocab, device, *, temperature=None, top_k=None, seed=None):
    """Continue a prefix.

    Args:
        prefix: A string, one token a character; or a list of tokens, such as words. It may be empty.
        num_preds: Tokens to add.
        net: A model of either kind.
        vocab: Its vocabulary.
        device: Where the model is.
        temperature: Draw from the softmax of logits / temperature instead of taking the most probable token. It is
            the inverse of the book's exponent alpha. With top_k or seed alone it is 1.
        top_k: Draw among this many most probable tokens.
        seed: A number, a ``numpy.random.Generator``, or None for different draws each time.

    Returns:
        The prefix and its continuation; a token that the vocabulary lacks reads ``<unk>``.

    Raises:
        InputError: If num_preds or the temperature is negative, or top_k is not positive.
    """
    choose = token_chooser(temperature, top_k, seed)
    with torch.no_grad():
        return generate(prefix, num_preds, vocab, _step_function(net, device), choose)
