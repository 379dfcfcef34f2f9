"""Sentence pairs as NumPy arrays (book section 9.5), and the frame of a translation model (section 9.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from d2lrnn import data
from d2lrnn.data import Vocab
from d2lrnn.system.arguments import require_positive

from . import nn
from .data import load_array
from .types import Params, Tensor


def build_array_nmt(lines: Sequence[list[str]], vocab: Vocab, num_steps: int) -> tuple[Tensor, Tensor]:
    """Return tensors of indices and valid lengths; the arguments are those of :func:`d2lrnn.data.build_array_nmt`."""
    return data.build_array_nmt(lines, vocab, num_steps)


def load_data_nmt(
    batch_size: int, num_steps: int, num_examples: int | None = 600
) -> tuple[Iterable[Any], Vocab, Vocab]:
    """Load minibatches of sentence pairs, with their vocabularies (book section 9.5.5).

    Args:
        batch_size: Pairs in a minibatch; the last one may have fewer.
        num_steps: Words of a sentence; a short one is filled up with padding, and of a long one the end is cut off.
        num_examples: Pairs, from the beginning of the text, None for all. Fewer where there are not as many.

    Returns:
        An iterator over minibatches ``(X, X_valid_len, Y, Y_valid_len)`` in a new order in each pass, the source's
        vocabulary, and the target's. X and Y are indices (batch_size, num_steps), the lengths (batch_size,).

    Raises:
        InputError: If a size is not positive, or the sentence pairs cannot be read.
    """
    require_positive(batch_size=batch_size)
    arrays, src_vocab, tgt_vocab = data.load_arrays_nmt(num_steps, num_examples)
    return load_array(arrays, batch_size), src_vocab, tgt_vocab


class Encoder(nn.Module):
    """The base of encoders (book section 9.6.1). Your own defines :meth:`forward`.

    To be trained it also has ``params``, a list of tensors, ``grads``, and a ``backward`` that finds these.
    """

    params: Params
    grads: list[Tensor | None]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def backward(self, d_state: Any) -> None:
        """Find ``grads`` from the gradient of what the decoder takes."""
        raise NotImplementedError(f"define backward(self, d_state) in {type(self).__name__}")

    def forward(self, X: Tensor, *args: Any) -> Any:
        """Return what the decoder's ``init_state`` takes, for a source X and, say, its valid lengths."""
        raise NotImplementedError(f"define forward(self, X, *args) in {type(self).__name__}")


class Decoder(nn.Module):
    """The base of decoders (book section 9.6.2). Your own defines :meth:`init_state` and :meth:`forward`.

    To be trained it also has ``params``, a list of tensors, ``grads``, and a ``backward`` that finds these.
    """

    params: Params
    grads: list[Tensor | None]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def backward(self, d_outputs: Tensor) -> Any:
        """Find ``grads`` from the gradient of the outputs, and return that of what the encoder gave."""
        raise NotImplementedError(f"define backward(self, d_outputs) in {type(self).__name__}")

    def init_state(self, enc_outputs: Any, *args: Any) -> Any:
        """Return the first state, from what the encoder returned and, say, the source's valid lengths."""
        raise NotImplementedError(f"define init_state(self, enc_outputs, *args) in {type(self).__name__}")

    def forward(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the output and the new state, for the decoder's input X and a state."""
        raise NotImplementedError(f"define forward(self, X, state) in {type(self).__name__}")


class EncoderDecoder(nn.Module):
    """An encoder and a decoder that starts from what the encoder found (book section 9.6.3).

    Args:
        encoder: An :class:`Encoder`.
        decoder: A :class:`Decoder`.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, enc_X: Tensor, dec_X: Tensor, *args: Any) -> tuple[Tensor, Any]:
        """Return the decoder's output and state, for its input dec_X and the encoder's input enc_X.

        The further arguments, valid lengths for one, go to the encoder and to the decoder's ``init_state``.
        """
        enc_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_outputs, *args)
        return self.decoder(dec_X, dec_state)

    @property
    def params(self) -> Params:
        """The parameters of both, as a list of tensors."""
        return [*self.encoder.params, *self.decoder.params]

    @property
    def grads(self) -> list[Tensor | None]:
        """Their gradients, once :meth:`backward` has been called, as a list of tensors."""
        return [*self.encoder.grads, *self.decoder.grads]

    def backward(self, d_outputs: Tensor) -> None:
        """Find the gradients of the parameters, from that of the outputs of the last call.

        The decoder's ``backward`` returns the gradient of what its ``init_state`` took of the encoder, whose
        ``backward`` takes it.
        """
        self.encoder.backward(self.decoder.backward(d_outputs))
