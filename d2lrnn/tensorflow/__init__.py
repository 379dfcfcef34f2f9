"""The chapter in TensorFlow. ``from d2lrnn import tensorflow as d2l`` and the book's cells run."""

from d2lrnn.backends import require

require("tensorflow")

from d2lrnn.data import (  # noqa: E402
    DATA_HUB,
    DATA_URL,
    Vocab,
    count_corpus,
    download,
    load_corpus,
    load_corpus_time_machine,
    read_time_machine,
    tokenize,
)
from d2lrnn.helpers import (  # noqa: E402
    Accumulator,
    Animator,
    Timer,
    plot,
    set_axes,
    set_figsize,
    use_svg_display,
)
from d2lrnn.tensorflow.concise import RNNModel, recurrent_layer  # noqa: E402
from d2lrnn.tensorflow.data import (  # noqa: E402
    SeqDataLoader,
    load_array,
    load_data,
    load_data_time_machine,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from d2lrnn.tensorflow.device import cpu, gpu, num_gpus, try_all_gpus, try_gpu  # noqa: E402
from d2lrnn.tensorflow.prediction import predict_ch8  # noqa: E402
from d2lrnn.tensorflow.scratch import RNNModelScratch, get_params, init_rnn_state, rnn  # noqa: E402
from d2lrnn.tensorflow.training import (  # noqa: E402
    evaluate_loss,
    evaluate_perplexity,
    grad_clipping,
    sgd,
    size,
    train_ch8,
    train_epoch_ch8,
)

__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "Accumulator",
    "Animator",
    "RNNModel",
    "RNNModelScratch",
    "SeqDataLoader",
    "Timer",
    "Vocab",
    "count_corpus",
    "cpu",
    "download",
    "evaluate_loss",
    "evaluate_perplexity",
    "get_params",
    "gpu",
    "grad_clipping",
    "init_rnn_state",
    "load_array",
    "load_corpus",
    "load_corpus_time_machine",
    "load_data",
    "load_data_time_machine",
    "num_gpus",
    "plot",
    "predict_ch8",
    "read_time_machine",
    "recurrent_layer",
    "rnn",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "set_axes",
    "set_figsize",
    "sgd",
    "size",
    "tokenize",
    "train_ch8",
    "train_epoch_ch8",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
]
