"""The Chinese first edition in PyTorch: ``from d2lrnn.torch import first_edition_zh as d2l``.

Readers of that edition ported it to PyTorch. What their port calls by other names stands here too:
:meth:`~d2lrnn.torch.first_edition_zh_port.ChinesePort.train_and_predict_rnn_pytorch`.
"""

from d2lrnn.editions.first_edition_zh import load_data_jay_lyrics

from . import first_editions
from .first_edition_zh_port import ChinesePort
from .first_editions import RNNModel, sgd, to_onehot, try_gpu

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "load_data_jay_lyrics",
    "predict_rnn",
    "predict_rnn_gluon",
    "predict_rnn_pytorch",
    "sgd",
    "to_onehot",
    "train_and_predict_rnn",
    "train_and_predict_rnn_gluon",
    "train_and_predict_rnn_pytorch",
    "try_gpu",
]

_edition = ChinesePort(first_editions)
data_iter_consecutive = _edition.data_iter_consecutive
data_iter_random = _edition.data_iter_random
grad_clipping = _edition.grad_clipping
predict_rnn = _edition.predict_rnn
predict_rnn_gluon = _edition.predict_rnn_gluon
predict_rnn_pytorch = _edition.predict_rnn_pytorch
train_and_predict_rnn = _edition.train_and_predict_rnn
train_and_predict_rnn_gluon = _edition.train_and_predict_rnn_gluon
train_and_predict_rnn_pytorch = _edition.train_and_predict_rnn_pytorch
