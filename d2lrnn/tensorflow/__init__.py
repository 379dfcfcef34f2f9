"""The chapter in TensorFlow. ``from d2lrnn import tensorflow as d2l`` and the book's cells run."""

from d2lrnn.core.backends import require

require("tensorflow")

from . import keras_3

# The book's TensorFlow has Keras 2. This lets Keras 3 take three calls of its cells that it would refuse.
keras_3.accept()

from d2lrnn.core import shared
from d2lrnn.core.book_tools import lazy_modules
from d2lrnn.core.shared import *

from .aliases import *
from .concise import RNNModel, recurrent_layer
from .data import (
    SeqDataLoader,
    load_array,
    load_data,
    load_data_time_machine,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from .device import cpu, gpu, num_gpus, try_all_gpus, try_gpu
from .fast import rnn_fast
from .prediction import predict_ch8
from .scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from .seq2seq import (
    AttentionDecoder,
    MaskedSoftmaxCELoss,
    Seq2SeqDecoder,
    Seq2SeqEncoder,
    predict_seq2seq,
    sequence_mask,
    train_seq2seq,
)
from .threads import num_threads, set_num_threads
from .training import (
    evaluate_loss,
    evaluate_perplexity,
    grad_clipping,
    sgd,
    size,
    train_ch8,
    train_epoch_ch8,
)
from .translation import (
    Decoder,
    Encoder,
    EncoderDecoder,
    build_array_nmt,
    load_data_nmt,
)

__getattr__ = lazy_modules(__name__)

__all__ = [
    "AttentionDecoder",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "MaskedSoftmaxCELoss",
    "RNNModel",
    "RNNModelScratch",
    "Seq2SeqDecoder",
    "Seq2SeqEncoder",
    "SeqDataLoader",
    "build_array_nmt",
    "cpu",
    "evaluate_loss",
    "evaluate_perplexity",
    "get_params",
    "gpu",
    "grad_clipping",
    "init_rnn_state",
    "load_array",
    "load_data",
    "load_data_nmt",
    "load_data_time_machine",
    "num_gpus",
    "num_threads",
    "plt",
    "predict_ch8",
    "predict_seq2seq",
    "recurrent_layer",
    "rnn",
    "rnn_fast",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "sequence_mask",
    "set_num_threads",
    "sgd",
    "size",
    "train_ch8",
    "train_epoch_ch8",
    "train_seq2seq",
    "try_all_gpus",
    "try_gpu",
]
__all__ += shared.__all__
