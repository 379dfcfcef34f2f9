"""The contract: every public name, parameter and default, the same in all backends but for the listed exceptions."""

import importlib
import inspect
import types

import numpy as np
import pytest

from d2lrnn import data
from d2lrnn.core import book_tools
from d2lrnn.core.interface import Backend, Threads
from d2lrnn.weights import exchange

# Written as Python writes a signature; DEVICE stands for what the exceptions below replace.
BOOK = {
    "Accumulator": "(n)",
    "Animator": "(xlabel=None, ylabel=None, legend=None, xlim=None, ylim=None, xscale='linear', yscale='linear', "
    "fmts=('-', 'm--', 'g-.', 'r:'), nrows=1, ncols=1, figsize=(3.5, 2.5))",
    "AttentionDecoder": "(**kwargs)",
    "Decoder": "(**kwargs)",
    "Decoder.init_state": "(enc_outputs, *args)",
    "Encoder": "(**kwargs)",
    "EncoderDecoder": "(encoder, decoder, **kwargs)",
    "MaskedSoftmaxCELoss": "()",
    "RNNModel": "(rnn_layer, vocab_size, **kwargs)",
    "RNNModel.begin_state": "(device, batch_size=1)",
    "RNNModelScratch": "(vocab_size, num_hiddens, device, get_params, init_state, forward_fn, *, seed=None)",
    "RNNModelScratch.__call__": "(X, state)",
    "RNNModelScratch.begin_state": "(batch_size, device)",
    "Seq2SeqDecoder": "(vocab_size, embed_size, num_hiddens, num_layers, dropout=0, **kwargs)",
    "Seq2SeqEncoder": "(vocab_size, embed_size, num_hiddens, num_layers, dropout=0, **kwargs)",
    "SeqDataLoader": "(batch_size, num_steps, use_random_iter, max_tokens, *, corpus=None, vocab=None, seed=None, "
    "shift=True)",
    "Timer": "()",
    "Vocab": "(tokens=None, min_freq=0, reserved_tokens=None)",
    "bleu": "(pred_seq, label_seq, k)",
    "build_array_nmt": "(lines, vocab, num_steps)",
    "count_corpus": "(tokens)",
    "cpu": "()",
    "download": "(name, cache_dir=None)",
    "download_extract": "(name, folder=None)",
    "evaluate_loss": "(net, data_iter, loss)",
    "evaluate_perplexity": "(net, data_iter, device)",
    "get_params": "(vocab_size, num_hiddens, device, *, seed=None)",
    "gpu": "(i=0)",
    "grad_clipping": "(net, theta)",
    "init_rnn_state": "(batch_size, num_hiddens, device)",
    "load_array": "(data_arrays, batch_size, is_train=True)",
    "load_corpus": "(source, max_tokens=-1, *, token='char', clean=None, keep_punctuation=False, keep_case=False, "
    "encoding=None)",
    "load_corpus_time_machine": "(max_tokens=-1)",
    "load_data": "(source, batch_size, num_steps, use_random_iter=False, max_tokens=None, **options)",
    "load_data_nmt": "(batch_size, num_steps, num_examples=600)",
    "load_data_time_machine": "(batch_size, num_steps, use_random_iter=False, max_tokens=10000, **options)",
    "num_gpus": "()",
    "num_threads": "()",
    "plot": "(X, Y=None, xlabel=None, ylabel=None, legend=None, xlim=None, ylim=None, xscale='linear', "
    "yscale='linear', fmts=('-', 'm--', 'g-.', 'r:'), figsize=(3.5, 2.5), axes=None)",
    "predict_ch8": "(prefix, num_preds, net, vocab, device, *, temperature=None, top_k=None, seed=None)",
    "predict_seq2seq": "(net, src_sentence, src_vocab, tgt_vocab, num_steps, device, save_attention_weights=False)",
    "preprocess_nmt": "(text)",
    "read_data_nmt": "()",
    "read_time_machine": "()",
    "recurrent_layer": "(kind, vocab_size, num_hiddens, num_layers=1, bidirectional=False)",
    "rnn": "(inputs, state, params)",
    "rnn_fast": "(inputs, state, params)",
    "seq_data_iter_random": "(corpus, batch_size, num_steps, *, seed=None)",
    "seq_data_iter_sequential": "(corpus, batch_size, num_steps, *, seed=None, shift=True)",
    "sequence_mask": "(X, valid_len, value=0)",
    "set_axes": "(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)",
    "set_figsize": "(figsize=(3.5, 2.5))",
    "set_num_threads": "(n)",
    "sgd": "(params, lr, batch_size)",
    "show_list_len_pair_hist": "(legend, xlabel, ylabel, xlist, ylist)",
    "size": "(a)",
    "tokenize": "(lines, token='word')",
    "tokenize_nmt": "(text, num_examples=None)",
    "train_ch8": "(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False, *, theta=1.0, "
    "valid_iter=None, prefixes=('time traveller', 'traveller'), quiet=False, callback=None, history=None)",
    "train_epoch_ch8": "(net, train_iter, loss, updater, device, use_random_iter, *, theta=1.0)",
    "train_seq2seq": "(net, data_iter, lr, num_epochs, tgt_vocab, device, *, theta=1.0, quiet=False, callback=None, "
    "history=None)",
    "truncate_pad": "(line, num_steps, padding_token)",
    "try_all_gpus": "()",
    "try_gpu": "(i=0)",
    "use_svg_display": "()",
}
CONSTANTS = {"DATA_HUB": dict, "DATA_URL": str, "plt": types.ModuleType}

FRAMEWORKS_OWN = "of the framework's class, whose arguments it takes"
# Where the book's tabs differ in form, each tab's own form holds. Nothing else may differ.
EXCEPTIONS = {
    "torch": {"MaskedSoftmaxCELoss": FRAMEWORKS_OWN},
    "mxnet": {
        "MaskedSoftmaxCELoss": FRAMEWORKS_OWN,
        # The tab calls its device ctx, and hands a layer's arguments through
        "RNNModel.begin_state": "(*args, **kwargs)",
        "RNNModelScratch.begin_state": "(batch_size, ctx)",
    },
    "tensorflow": {
        # The tab places things by scope: no function takes a device, and training takes the strategy
        "MaskedSoftmaxCELoss": "(valid_len)",  # which Keras's losses have no argument for
        "RNNModel.begin_state": "(batch_size=1, dtype=tf.float32)",
        "RNNModelScratch": "(vocab_size, num_hiddens, init_state, forward_fn, get_params, *, seed=None)",
        "RNNModelScratch.begin_state": "(batch_size, *args, **kwargs)",
        "evaluate_perplexity": "(net, data_iter)",
        "get_params": "(vocab_size, num_hiddens, *, seed=None)",
        "init_rnn_state": "(batch_size, num_hiddens)",
        "predict_seq2seq": "(net, src_sentence, src_vocab, tgt_vocab, num_steps, save_attention_weights=False)",
        "predict_ch8": "(prefix, num_preds, net, vocab, *, temperature=None, top_k=None, seed=None)",
        # and only TensorFlow has a second compiler, which Keras asks for by the same word
        "train_ch8": BOOK["train_ch8"]
        .replace("device", "strategy")
        .replace("history=None", "history=None, jit_compile=False"),
        "train_epoch_ch8": "(net, train_iter, loss, updater, use_random_iter, *, theta=1.0, jit_compile=False)",
        # Gradients belong to no parameter there, so they are handed over
        "grad_clipping": "(grads, theta)",
        "sgd": "(params, grads, lr, batch_size)",
    },
    "numpy": {
        # Gradients belong to the net, which found them by going back
        "sgd": "(params, grads, lr, batch_size)",
    },
}

# What programs use is described once, by a Protocol, which mypy holds each backend to; here it is held at runtime too
INTERFACE = [name for name, value in vars(Backend).items() if isinstance(value, types.FunctionType) and name[0] != "_"]
# Beyond the Protocol: Keras's word for TensorFlow's second compiler
BEYOND = {"tensorflow": {"train": {"jit_compile": False}}}

EXCHANGE = {"decode": "(content, kind=None)", "encode": "(kind, weights)"}

# The first editions: what they share, then each one's own
ALL_EDITIONS = {
    "RNNModel": BOOK["RNNModel"],
    "data_iter_random": "(corpus_indices, batch_size, num_steps, ctx=None, *, seed=None)",
    "grad_clipping": "(params, theta, ctx)",
    "try_gpu": BOOK["try_gpu"],
}
WITH_TABLES = ALL_EDITIONS | {
    "predict_rnn": "(prefix, num_chars, rnn, params, init_rnn_state, num_hiddens, vocab_size, ctx, idx_to_char, "
    "char_to_idx)",
    "predict_rnn_gluon": "(prefix, num_chars, model, vocab_size, ctx, idx_to_char, char_to_idx)",
    "sgd": BOOK["sgd"],
    "to_onehot": "(X, size)",
    "train_and_predict_rnn": "(rnn, get_params, init_rnn_state, num_hiddens, vocab_size, ctx, corpus_indices, "
    "idx_to_char, char_to_idx, is_random_iter, num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, "
    "pred_len, prefixes, *, seed=None)",
    "train_and_predict_rnn_gluon": "(model, num_hiddens, vocab_size, ctx, corpus_indices, idx_to_char, char_to_idx, "
    "num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes, *, seed=None)",
}
FIRST_EDITIONS = {
    "first_edition_zh": WITH_TABLES
    | {
        "data_iter_consecutive": "(corpus_indices, batch_size, num_steps, ctx=None)",
        "load_data_jay_lyrics": "(source=None)",
    },
    "first_edition_en": WITH_TABLES
    | {
        "data_iter_consecutive": ALL_EDITIONS["data_iter_random"],
        "load_data_time_machine": "()",
    },
    "first_edition_en_draft": ALL_EDITIONS
    | {
        "data_iter_consecutive": ALL_EDITIONS["data_iter_random"],
        "grad_clipping_gluon": "(model, theta, ctx)",
        "load_data_time_machine": "(num_examples=10000)",
        "predict_rnn_gluon": "(prefix, num_chars, model, vocab, ctx)",
        "train_and_predict_rnn_gluon": "(model, num_hiddens, corpus_indices, vocab, ctx, num_epochs, num_steps, lr, "
        "clipping_theta, batch_size, prefixes, *, seed=None)",
    },
}
# The gradients of TensorFlow and of NumPy belong to no parameter, so they are handed over
FIRST_EDITION_EXCEPTIONS = {
    "tensorflow": {
        "grad_clipping": "(grads, theta, ctx)",
        "grad_clipping_gluon": "(grads, theta, ctx)",
        "sgd": EXCEPTIONS["tensorflow"]["sgd"],
    },
    "numpy": {"grad_clipping": "(grads, theta, ctx)", "sgd": EXCEPTIONS["numpy"]["sgd"]},
}
# What the Chinese edition's port to PyTorch calls by names of its own
ONLY_IN_THE_PORT = {
    "predict_rnn_pytorch": "(prefix, num_chars, model, vocab_size, device, idx_to_char, char_to_idx)",
    "train_and_predict_rnn_pytorch": "(model, num_hiddens, vocab_size, device, corpus_indices, idx_to_char, "
    "char_to_idx, num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes)",
}


def own_names(backend, module):
    """Return the names and signatures that a first edition has in one backend alone."""
    return ONLY_IN_THE_PORT if (backend.name, module) == ("torch", "first_edition_zh") else {}


def lookup(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module


def signature(function):
    """Return a signature as text: without self, and without types."""
    parameters = inspect.signature(function).parameters.values()
    return text_of([p for p in parameters if p.name != "self"])


def text_of(parameters):
    """Return parameters as text, without their types."""
    text = str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))
    return text.replace("<dtype: 'float32'>", "tf.float32")


@pytest.mark.parametrize("name", BOOK)
def test_signature(backend, name):
    function, expected = lookup(backend.d2l, name), EXCEPTIONS[backend.name].get(name, BOOK[name])
    if expected == FRAMEWORKS_OWN:
        expected = signature(function.__bases__[0])
        assert expected != BOOK[name]
    assert signature(function) == expected


@pytest.mark.parametrize("name", INTERFACE)
def test_signature_of_the_interface(backend, name):
    own = list(inspect.signature(getattr(backend.interface, name)).parameters.values())
    expected = [p for p in inspect.signature(getattr(Backend, name)).parameters.values() if p.name != "self"]
    beyond = BEYOND.get(backend.name, {}).get(name, {})
    assert {p.name: p.default for p in own if p.name in beyond and p.kind is p.KEYWORD_ONLY} == beyond
    own = [p for p in own if p.name not in beyond]
    # What the Protocol takes by position only may have any name
    by_position = [p for p in expected if p.kind is p.POSITIONAL_ONLY]
    for place, parameter in enumerate(by_position):
        assert own[place].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        own[place] = parameter
    assert text_of(own) == text_of(expected)


def test_the_interface_has_a_loader_and_what_programs_call(backend):
    assert issubclass(backend.interface.SeqDataLoader, data.SeqDataLoader)
    assert set(backend.interface.__all__) == {*INTERFACE, "SeqDataLoader"}
    for name in INTERFACE:
        assert inspect.getdoc(getattr(backend.interface, name)).strip()


def test_the_threads_are_those_of_the_protocol(backend):
    module = importlib.import_module(f"d2lrnn.{backend.name}.threads")
    names = [name for name, value in vars(Threads).items() if isinstance(value, types.FunctionType) and name[0] != "_"]
    assert len(names) == 5
    for name in names:
        assert signature(getattr(module, name)) == signature(getattr(Threads, name))


@pytest.mark.parametrize("name", EXCHANGE)
def test_signature_of_the_exchange(backend, name):
    module = next(form.load() for form in exchange.FORMATS.values() if form.backend == backend.name)
    assert signature(getattr(module, name)) == EXCHANGE[name]
    assert inspect.getdoc(getattr(module, name)).strip()
    assert sorted(module.__all__) == sorted(EXCHANGE)


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(backend, name):
    assert isinstance(getattr(backend.d2l, name), CONSTANTS[name])


def test_the_table_is_complete(backend):
    public = {name for name in BOOK if "." not in name} | set(CONSTANTS)
    assert set(backend.d2l.__all__) == public
    assert sorted(backend.d2l.__all__) == sorted(set(backend.d2l.__all__))


def test_no_exception_is_stale(backend):
    for name, text in EXCEPTIONS[backend.name].items():
        assert text != BOOK[name], name


def test_every_public_name_is_documented(backend):
    for name in backend.d2l.__all__:
        value = getattr(backend.d2l, name)
        if isinstance(value, (type, types.FunctionType)):
            assert (inspect.getdoc(value) or "").strip(), name


def test_the_helpers_are_the_same_objects(backend):
    for name in ("Accumulator", "Animator", "Timer", "plot", "set_axes", "set_figsize", "use_svg_display"):
        assert getattr(backend.d2l, name) is getattr(book_tools, name)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in FIRST_EDITIONS.items() for name in names]
)
def test_signature_of_a_first_edition(backend, module, name):
    function = getattr(importlib.import_module(f"d2lrnn.{backend.name}.{module}"), name)
    expected = FIRST_EDITION_EXCEPTIONS.get(backend.name, {}).get(name, FIRST_EDITIONS[module][name])
    assert signature(function) == expected
    assert inspect.getdoc(function).strip()


@pytest.mark.parametrize("module", FIRST_EDITIONS)
def test_the_table_of_a_first_edition_is_complete(backend, module):
    names = importlib.import_module(f"d2lrnn.{backend.name}.{module}").__all__
    assert sorted(names) == sorted(FIRST_EDITIONS[module] | own_names(backend, module))


@pytest.mark.only("torch")
@pytest.mark.parametrize("name", ONLY_IN_THE_PORT)
def test_signature_of_the_port(backend, name):
    function = getattr(importlib.import_module("d2lrnn.torch.first_edition_zh"), name)
    assert signature(function) == ONLY_IN_THE_PORT[name]
    assert inspect.getdoc(function).strip()


def test_the_signature_check_can_fail():
    assert signature(lambda a, *, b=1: a) == "(a, *, b=1)"
    assert signature(lambda b, a: a) != signature(lambda a, b: a)


@pytest.mark.parametrize("name", ["X", "Y"])
def test_the_loaders_yield_the_backends_tensors(backend, name):
    minibatch = next(iter(backend.d2l.SeqDataLoader(2, 5, False, -1, corpus=np.arange(35))))
    tensor = minibatch["XY".index(name)]
    assert type(tensor).__module__.split(".")[0] == backend.name
    assert tuple(tensor.shape) == (2, 5)
