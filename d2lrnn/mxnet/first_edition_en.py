"""The English first edition in MXNet: ``from d2lrnn.mxnet import first_edition_en as d2l``.

Its import turns NumPy's semantics off, for the arrays of that edition are those of ``mxnet.nd``.
"""

from d2lrnn.editions.first_edition_en import EnglishEdition, load_data_time_machine

from . import first_editions
from .first_editions import RNNModel, sgd, to_onehot, try_gpu

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "load_data_time_machine",
    "predict_rnn",
    "predict_rnn_gluon",
    "sgd",
    "to_onehot",
    "train_and_predict_rnn",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]

_edition = EnglishEdition(first_editions)
data_iter_consecutive = _edition.data_iter_consecutive
data_iter_random = _edition.data_iter_random
grad_clipping = _edition.grad_clipping
predict_rnn = _edition.predict_rnn
predict_rnn_gluon = _edition.predict_rnn_gluon
train_and_predict_rnn = _edition.train_and_predict_rnn
train_and_predict_rnn_gluon = _edition.train_and_predict_rnn_gluon
