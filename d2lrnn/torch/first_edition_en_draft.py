"""The draft after the English first edition: ``from d2lrnn.torch import first_edition_en_draft as d2l``."""

from d2lrnn.editions.first_edition_en_draft import EnglishDraft, load_data_time_machine

from . import first_editions
from .first_editions import RNNModel, try_gpu

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "grad_clipping_gluon",
    "load_data_time_machine",
    "predict_rnn_gluon",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]

_edition = EnglishDraft(first_editions)
data_iter_consecutive = _edition.data_iter_consecutive
data_iter_random = _edition.data_iter_random
grad_clipping = _edition.grad_clipping
grad_clipping_gluon = _edition.grad_clipping_gluon
predict_rnn_gluon = _edition.predict_rnn_gluon
train_and_predict_rnn_gluon = _edition.train_and_predict_rnn_gluon
