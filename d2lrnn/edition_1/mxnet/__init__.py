"""Edition 1.0 in MXNet. ``from d2lrnn.edition_1 import mxnet as d2l``; its cells on recurrent networks run."""

from d2lrnn.core.backends import require

require("mxnet")

from mxnet import npx

from d2lrnn.core.book_tools import lazy_modules
from d2lrnn.edition_1 import shared
from d2lrnn.edition_1.shared import *
from d2lrnn.mxnet import Decoder, Encoder, cpu, gpu, num_gpus, try_all_gpus, try_gpu

from .aliases import *
from .recurrent import GRU, RNN, RNNLM, RNNLMScratch, RNNScratch, TimeMachine
from .training import SGD, Classifier, DataModule, LinearRegression, Module, Trainer
from .translation import EncoderDecoder, MTFraEng, Seq2Seq, Seq2SeqEncoder
from .weights import get_weights, kind_of, rnn_model, set_weights

# As d2lrnn.mxnet, but that may have been imported before a first edition, whose import turns NumPy's semantics off
npx.set_np()

__getattr__ = lazy_modules(__name__)

__all__ = [
    "GRU",
    "RNN",
    "RNNLM",
    "SGD",
    "Classifier",
    "DataModule",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "LinearRegression",
    "MTFraEng",
    "Module",
    "RNNLMScratch",
    "RNNScratch",
    "Seq2Seq",
    "Seq2SeqEncoder",
    "TimeMachine",
    "Trainer",
    "cpu",
    "get_weights",
    "gpu",
    "kind_of",
    "num_gpus",
    "plt",
    "rnn_model",
    "set_weights",
    "try_all_gpus",
    "try_gpu",
]
__all__ += shared.__all__
