"""The data layer that the backends share: texts, vocabularies and minibatches, in NumPy only."""

from d2lrnn.data.corpora import (
    CORPORA,
    Corpus,
    Text,
    load_corpus,
    load_corpus_time_machine,
    read_text,
    read_time_machine,
)
from d2lrnn.data.downloads import DATA_HUB, DATA_URL, DownloadError, download
from d2lrnn.data.sampling import (
    SeqDataLoader,
    load_data,
    load_data_time_machine,
    part_of_text,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from d2lrnn.data.text import Preparation, Vocab, clean_lines, clean_text, count_corpus, tokenize
from d2lrnn.data.translation import (
    bleu,
    build_array_nmt,
    download_extract,
    load_arrays_nmt,
    preprocess_nmt,
    read_data_nmt,
    read_source,
    tokenize_nmt,
    truncate_pad,
)

__all__ = [
    "CORPORA",
    "DATA_HUB",
    "DATA_URL",
    "Corpus",
    "DownloadError",
    "Preparation",
    "SeqDataLoader",
    "Text",
    "Vocab",
    "bleu",
    "build_array_nmt",
    "clean_lines",
    "clean_text",
    "count_corpus",
    "download",
    "download_extract",
    "load_arrays_nmt",
    "load_corpus",
    "load_corpus_time_machine",
    "load_data",
    "load_data_time_machine",
    "part_of_text",
    "preprocess_nmt",
    "read_data_nmt",
    "read_source",
    "read_text",
    "read_time_machine",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "tokenize",
    "tokenize_nmt",
    "truncate_pad",
]
