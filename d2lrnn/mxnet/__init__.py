"""The chapter in MXNet. ``from d2lrnn import mxnet as d2l`` and the book's cells run."""

from d2lrnn.core.backends import require

require("mxnet")

from mxnet import npx  # noqa: E402

# The book's MXNet is the one with NumPy's semantics, everywhere. This switches the thread that imports; another thread
# that is to train needs the call too.
npx.set_np()

from d2lrnn.core.book_tools import (  # noqa: E402
    Accumulator,
    Animator,
    Timer,
    lazy_modules,
    plot,
    set_axes,
    set_figsize,
    use_svg_display,
)
from d2lrnn.data import (  # noqa: E402
    DATA_HUB,
    DATA_URL,
    Vocab,
    bleu,
    count_corpus,
    download,
    download_extract,
    load_corpus,
    load_corpus_time_machine,
    preprocess_nmt,
    read_data_nmt,
    read_time_machine,
    tokenize,
    tokenize_nmt,
    truncate_pad,
)
from d2lrnn.mxnet.concise import RNNModel, recurrent_layer  # noqa: E402
from d2lrnn.mxnet.data import (  # noqa: E402
    SeqDataLoader,
    load_array,
    load_data,
    load_data_time_machine,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from d2lrnn.mxnet.device import cpu, gpu, num_gpus, try_all_gpus, try_gpu  # noqa: E402
from d2lrnn.mxnet.fast import rnn_fast  # noqa: E402
from d2lrnn.mxnet.prediction import predict_ch8  # noqa: E402
from d2lrnn.mxnet.scratch import RNNModelScratch, get_params, init_rnn_state, rnn  # noqa: E402
from d2lrnn.mxnet.threads import num_threads, set_num_threads  # noqa: E402
from d2lrnn.mxnet.training import (  # noqa: E402
    evaluate_loss,
    evaluate_perplexity,
    grad_clipping,
    sgd,
    size,
    train_ch8,
    train_epoch_ch8,
)
from d2lrnn.mxnet.translation import (  # noqa: E402
    Decoder,
    Encoder,
    EncoderDecoder,
    build_array_nmt,
    load_data_nmt,
)

__getattr__ = lazy_modules(__name__)

__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "Accumulator",
    "Animator",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "RNNModel",
    "RNNModelScratch",
    "SeqDataLoader",
    "Timer",
    "Vocab",
    "bleu",
    "build_array_nmt",
    "count_corpus",
    "cpu",
    "download",
    "download_extract",
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
    "load_data_nmt",
    "load_data_time_machine",
    "num_gpus",
    "num_threads",
    "plot",
    "plt",
    "predict_ch8",
    "preprocess_nmt",
    "read_data_nmt",
    "read_time_machine",
    "recurrent_layer",
    "rnn",
    "rnn_fast",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "set_axes",
    "set_figsize",
    "set_num_threads",
    "sgd",
    "size",
    "tokenize",
    "tokenize_nmt",
    "train_ch8",
    "train_epoch_ch8",
    "truncate_pad",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
]
