"""The Chinese first edition in NumPy: ``from d2lrnn.numpy import first_edition_zh as d2l``."""

from d2lrnn.editions.first_edition_zh import ChineseEdition, load_data_jay_lyrics

from . import first_editions
from .first_editions import RNNModel, grad_clipping, sgd, to_onehot, try_gpu

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "load_data_jay_lyrics",
    "predict_rnn",
    "predict_rnn_gluon",
    "sgd",
    "to_onehot",
    "train_and_predict_rnn",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]

_edition = ChineseEdition(first_editions)
data_iter_consecutive = _edition.data_iter_consecutive
data_iter_random = _edition.data_iter_random
predict_rnn = _edition.predict_rnn
predict_rnn_gluon = _edition.predict_rnn_gluon
train_and_predict_rnn = _edition.train_and_predict_rnn
train_and_predict_rnn_gluon = _edition.train_and_predict_rnn_gluon
