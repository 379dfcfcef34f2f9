"""The data layer that the three backends share: texts, vocabularies and minibatches, in NumPy only."""

from d2lrnn.data.corpora import (
    CORPORA,
    DATA_HUB,
    DATA_URL,
    Corpus,
    DownloadError,
    Text,
    download,
    load_corpus,
    load_corpus_time_machine,
    read_text,
    read_time_machine,
)
from d2lrnn.data.sampling import (
    SeqDataLoader,
    load_data,
    load_data_time_machine,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from d2lrnn.data.text import Vocab, clean_lines, clean_text, count_corpus, tokenize

__all__ = [
    "CORPORA",
    "DATA_HUB",
    "DATA_URL",
    "Corpus",
    "DownloadError",
    "SeqDataLoader",
    "Text",
    "Vocab",
    "clean_lines",
    "clean_text",
    "count_corpus",
    "download",
    "load_corpus",
    "load_corpus_time_machine",
    "load_data",
    "load_data_time_machine",
    "read_text",
    "read_time_machine",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "tokenize",
]
