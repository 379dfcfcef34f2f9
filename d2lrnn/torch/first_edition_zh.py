"""The Chinese first edition in PyTorch: ``from d2lrnn.torch import first_edition_zh as d2l``."""

from d2lrnn.editions.first_edition_zh import ChineseEdition, load_data_jay_lyrics
from d2lrnn.torch import first_editions
from d2lrnn.torch.first_editions import RNNModel, try_gpu

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "load_data_jay_lyrics",
    "predict_rnn_gluon",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]

_edition = ChineseEdition(first_editions)
data_iter_consecutive = _edition.data_iter_consecutive
data_iter_random = _edition.data_iter_random
grad_clipping = _edition.grad_clipping
predict_rnn_gluon = _edition.predict_rnn_gluon
train_and_predict_rnn_gluon = _edition.train_and_predict_rnn_gluon
