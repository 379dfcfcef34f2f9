"""Edition 1.0: its classes, texts, trainings and predictions, in each framework, and the way into run folders."""

import inspect
import subprocess
import sys
import zipfile
from importlib import import_module

import numpy as np
import pytest
from tolerances import EDITION_1_WEIGHTS, LOSS

from d2lrnn import data
from d2lrnn.core import backends
from d2lrnn.data import downloads
from d2lrnn.edition_1 import canonical_form, shared
from d2lrnn.edition_1.base import DataModule as AnyDataModule
from d2lrnn.edition_1.board import Point, ProgressBoard
from d2lrnn.edition_1.downloads import download, extract
from d2lrnn.edition_1.hyperparameters import HyperParameters, add_to_class
from d2lrnn.edition_1.texts import TimeMachineText, Vocab, check_len, check_shape
from d2lrnn.errors import D2LRNNWarning, DivergenceError, InputError
from d2lrnn.runs import conversion, prediction
from d2lrnn.weights import canonical, exchange

TABS = tuple(backends.FRAMEWORKS)
KINDS = ("rnn-scratch", "rnn", "gru", "lstm", "deep")
VOCAB_SIZE, NUM_HIDDENS = 5, 4


@pytest.fixture
def d2l(backend):
    """Return what a reader imports, the framework's first weights and orders being the same in each run."""
    d2l = import_module(f"d2lrnn.edition_1.{backend.name}")
    framework = backend.framework
    np.random.seed(0)  # noqa: NPY002 (Gluon shuffles by it)
    if backend.name == "torch":
        framework.manual_seed(0)
    elif backend.name == "mxnet":
        framework.random.seed(0)
    else:
        framework.random.set_seed(0)
    return d2l


def lstm(backend, d2l, num_inputs, num_hiddens):
    """Return an LSTM that a reader wrote over the framework's layer."""

    class LSTM(d2l.RNN):
        def __init__(self, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = layer

        def forward(self, inputs, H_C=None):
            if backend.name == "mxnet" and H_C is None:
                H_C = self.rnn.begin_state(inputs.shape[1])
            outputs, *H_C = self.rnn(inputs, H_C)
            return outputs, H_C if backend.name == "tensorflow" else H_C[0]

    if backend.name == "torch":
        layer = backend.framework.nn.LSTM(num_inputs, num_hiddens)
    elif backend.name == "mxnet":
        layer = backend.framework.gluon.rnn.LSTM(num_hiddens)
    else:
        options = {"return_sequences": True, "return_state": True, "time_major": True}
        layer = backend.framework.keras.layers.LSTM(num_hiddens, **options)
    return LSTM(num_hiddens)


def deep(backend, d2l, num_inputs, num_hiddens):
    """Return a network of two layers from scratch, as a reader may write it."""

    class Deep(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.5):
            super().__init__()
            self.save_hyperparameters()
            rnns = [d2l.RNNScratch(inputs, num_hiddens, sigma) for inputs in (num_inputs, num_hiddens)]
            self.rnns = backend.framework.nn.Sequential(*rnns) if backend.name == "torch" else rnns

        def forward(self, inputs, states=None):
            new_states = []
            for rnn, state in zip(self.rnns, states or [None, None], strict=True):
                inputs, state = rnn(inputs, state)
                new_states.append(state)
            return inputs, new_states

    return Deep(num_inputs, num_hiddens)


def language_model(backend, d2l, kind, vocab_size=VOCAB_SIZE, num_hiddens=NUM_HIDDENS, lr=1):
    own = (vocab_size,) if backend.name == "torch" else ()  # what PyTorch's layers must be told
    if kind == "rnn-scratch":
        return d2l.RNNLMScratch(d2l.RNNScratch(vocab_size, num_hiddens, sigma=0.5), vocab_size, lr)
    if kind == "deep":
        return d2l.RNNLMScratch(deep(backend, d2l, vocab_size, num_hiddens), vocab_size, lr)
    if kind == "rnn":
        return d2l.RNNLM(d2l.RNN(*own, num_hiddens), vocab_size, lr)
    if kind == "gru":
        return d2l.RNNLM(d2l.GRU(*own, num_hiddens, 2), vocab_size, lr)
    return d2l.RNNLM(lstm(backend, d2l, vocab_size, num_hiddens), vocab_size, lr)


def same_in_numpy(d2l, model):
    """Return NumPy's model with the same weights."""
    kind, weights = d2l.kind_of(model), d2l.get_weights(model)
    numpy = backends.load("numpy")
    vocab_size, num_hiddens, num_layers, _ = canonical.sizes(kind, weights)
    net, _ = numpy.build_model(kind, vocab_size, num_hiddens, num_layers, device="cpu")
    numpy.set_weights(net, weights)
    return numpy, net


def minibatch(batch_size=3, num_steps=6):
    windows = np.random.default_rng(0).integers(VOCAB_SIZE, size=(batch_size, num_steps + 1)).astype(np.int32)
    return windows[:, :-1], windows[:, 1:]


def loader(backend, d2l, *arrays, batch_size=3):
    """Return data whose minibatches are rows of arrays, for training in any order, and held out."""

    class Rows(d2l.DataModule):
        def __init__(self, batch_size):
            super().__init__()
            self.save_hyperparameters()
            self.tensors = [backend.tensor(a) for a in arrays]

        def get_dataloader(self, train):
            return self.get_tensorloader(self.tensors, train)

    return Rows(batch_size)


# What needs no framework


def test_the_arguments_of_a_constructor_become_attributes():
    class B(HyperParameters):
        def __init__(self, a, b, c, *, d=4):
            _inner = 5
            self.save_hyperparameters(ignore=["c"])

    made = B(1, b=2, c=3)
    assert (made.a, made.b, made.d) == (1, 2, 4)
    assert made.hparams == {"a": 1, "b": 2, "d": 4}
    assert not hasattr(made, "c")
    assert not hasattr(made, "_inner")


def test_a_function_becomes_a_method_of_what_exists_already():
    class A:
        b = 1

    a = A()

    @add_to_class(A)
    def do(self, times):
        return self.b * times

    assert a.do(3) == 3
    assert do(a, 2) == 2


def test_the_vocabulary_is_sorted_with_the_unknown_token_among_the_others():
    vocab = Vocab([["b", "a", " "], ["b", "~"]], reserved_tokens=["<pad>"])
    assert vocab.idx_to_token == [" ", "<pad>", "<unk>", "a", "b", "~"]
    assert vocab.unk == vocab["nothing"] == 2
    assert vocab[["a", "?"]] == [3, 2]
    assert vocab.token_freqs[0] == ("b", 2)
    assert vocab.to_tokens([4]) == ["b"]  # the book has no list of one
    assert Vocab(["a", "b", "a"], min_freq=2).idx_to_token == ["<unk>", "a"]
    with pytest.raises(InputError, match="sorted strings, and 3 is none"):
        Vocab([3])


def test_the_time_machine_becomes_letters_and_single_spaces():
    text = TimeMachineText()
    assert text._preprocess(" The 4th—way,\r\n\nI!") == " the th way i "
    corpus, vocab = text.build("Ab\nb")
    assert (corpus, vocab.idx_to_token) == ([2, 3, 0, 3], [" ", "<unk>", "a", "b"])
    assert text.build("Bc", vocab) == ([3, 1], vocab)
    assert vocab.preparation == data.Preparation("char", "letters")

    class Words(TimeMachineText):
        def _tokenize(self, text):
            return text.split()

    assert Words().build("Ab ab")[1].preparation is None


def test_windows_are_one_from_each_place():
    windows = TimeMachineText.windows(range(9), 3, 4, 2)
    assert windows.tolist() == [list(range(i, i + 4)) for i in range(6)]
    with pytest.raises(InputError, match="a text of 3 tokens has no subsequence of 3 and one more"):
        TimeMachineText.windows(range(3), 3, 1, 1)
    with pytest.raises(InputError, match="num_val must be"):
        TimeMachineText.windows(range(9), 3, 1, 0)
    with pytest.warns(D2LRNNWarning, match="6 subsequences of 3 tokens, and num_train=4 and num_val=5 .*: 2 are held"):
        TimeMachineText.windows(range(9), 3, 4, 5)


def test_a_board_puts_points_together():
    board = ProgressBoard()
    for x in range(5):
        board.draw(x, np.float32(x * x), "a", every_n=2)
    board.draw(1, 2, "b")
    assert board.data == {"a": [Point(0.5, 0.5), Point(2.5, 6.5)], "b": [Point(1, 2)]}
    axes = board.figure().axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.5, 6.5], [2.0]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_checks_of_lengths_and_shapes_can_fail():
    check_len([1, 2], 2)
    check_shape(np.zeros((2, 3)), (2, 3))
    with pytest.raises(AssertionError, match="2 members, and 3"):
        check_len([1, 2], 3)
    with pytest.raises(AssertionError, match=r"shape \(2, 3\), and \(3, 2\)"):
        check_shape(np.zeros((2, 3)), (3, 2))


def test_a_download_lies_in_the_folder(tmp_path):
    url, sha1 = downloads.DATA_HUB["time_machine"]
    folder = tmp_path / "data"
    path = download(url, str(folder), sha1)
    assert path == str(folder / "timemachine.txt") == download("time_machine", str(folder))
    assert data.read_text("time-machine").content == (folder / "timemachine.txt").read_text(encoding="utf-8")


def test_a_download_that_is_not_to_be_had_has_a_stand_in_with_a_name_of_its_own(tmp_path, no_time_machine):
    with pytest.warns(D2LRNNWarning, match="the bundled story stands in"):
        path = download("time_machine", str(tmp_path))
    assert path == str(tmp_path / "timemachine.stand-in.txt")
    assert (tmp_path / "timemachine.stand-in.txt").read_text(encoding="utf-8") == data.read_text("story").content


def test_the_archive_of_sentence_pairs_has_a_stand_in_that_unpacks_to_the_same_folder(tmp_path):
    with pytest.warns(D2LRNNWarning, match="short ones that ship"):
        extract(download("fra-eng", str(tmp_path)))
    assert "\t" in (tmp_path / "fra-eng" / "fra.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("url", "sha1", "match"),
    [
        ("time_machin", None, "unknown download 'time_machin'"),
        ("http://127.0.0.1:1/a.txt", None, "give its SHA-1"),
        ("http://127.0.0.1:1/a.txt", "0" * 40, "cannot download .*a.txt"),
    ],
)
def test_a_download_that_cannot_be(tmp_path, monkeypatch, url, sha1, match):
    monkeypatch.setattr(downloads, "DATA_HUB", dict(downloads.DATA_HUB))
    monkeypatch.setattr("d2lrnn.edition_1.downloads.DATA_HUB", downloads.DATA_HUB)
    with pytest.raises((InputError, downloads.DownloadError), match=match):
        download(url, str(tmp_path), sha1)


def test_an_archive_unpacks_into_its_folder_and_nowhere_else(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a/b.txt", "b")
    extract(str(archive))
    assert (tmp_path / "a" / "b.txt").read_text() == "b"
    with zipfile.ZipFile(archive, "a") as made:
        made.writestr("../c.txt", "c")
    with pytest.raises(InputError, match=r"'\.\./c.txt', which is not in its folder"):
        extract(str(archive), str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    with pytest.raises(InputError, match="no zip archive|is not a zip archive"):
        extract(str(tmp_path / "a.tar"))
    archive.write_bytes(b"PK")
    with pytest.raises(InputError, match="cannot unpack"):
        extract(str(archive))


@pytest.mark.parametrize(
    ("names", "kind", "first"),
    [
        (["W_xh", "W_hh", "b_h"], "rnn-scratch", ["W_xh"]),
        (["W_xi", "W_hi", "b_i", "W_xf", "W_hf", "b_f", "W_xo", "W_ho", "b_o", "W_xc", "W_hc", "b_c"], "lstm",
         ["W_xi", "W_xf", "W_xc", "W_xo"]),
        (["W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h"], "gru-reset-before",
         ["W_xr", "W_xz", "W_xh"]),
        (["f_rnn.W_xh", "f_rnn.W_hh", "f_rnn.b_h", "b_rnn.W_xh", "b_rnn.W_hh", "b_rnn.b_h"], "rnn", ["f_rnn.W_xh"]),
        (["rnns.0.W_xh", "rnns.0.W_hh", "rnns.0.b_h", "rnns.1.W_xh", "rnns.1.W_hh", "rnns.1.b_h"], "rnn",
         ["rnns.0.W_xh"]),
    ],
)  # fmt: skip
def test_a_model_from_scratch_is_known_by_the_names_of_its_parameters(names, kind, first):
    found, places = canonical_form.scratch_places([*names, "W_hq", "b_q"])
    assert found == kind
    assert dict(places)["layers.0.W_xh"] == first
    rng = np.random.default_rng(0)
    layers, both = max(name.startswith("rnns.1") for name in names) + 1, any("b_rnn" in name for name in names)
    weights = {name: rng.normal(size=shape) for name, shape in canonical.shapes(kind, 3, 2, layers, both).items()}
    parts = canonical_form.part(places, weights)
    assert set(parts) == {*names, "W_hq", "b_q"}
    back = canonical_form.join(places, parts)
    assert {name: value.tolist() for name, value in back.items()} == {n: v.tolist() for n, v in weights.items()}


def test_parameters_of_other_names_are_no_model_of_the_books():
    with pytest.raises(InputError, match="'embedding'.* are those of no model from scratch"):
        canonical_form.scratch_places(["W_xh", "W_hh", "b_h", "embedding", "W_hq", "b_q"])


# The data


@pytest.mark.only(*TABS)
def test_the_time_machines_minibatches(backend, d2l):
    timemachine = d2l.TimeMachine(batch_size=16, num_steps=5, num_train=40, num_val=20)
    corpus, vocab = timemachine.build(timemachine._download())
    assert vocab.idx_to_token == timemachine.vocab.idx_to_token
    assert corpus == vocab[list(TimeMachineText()._preprocess(data.read_text("time-machine").content))]
    held_out = [[backend.numpy(a) for a in batch] for batch in timemachine.val_dataloader()]
    assert [X.shape for X, _ in held_out] == [(16, 5), (4, 5)]
    X, Y = (np.concatenate(arrays) for arrays in zip(*held_out, strict=True))
    assert X.tolist() == [corpus[i : i + 5] for i in range(40, 60)]
    assert Y.tolist() == [corpus[i + 1 : i + 6] for i in range(40, 60)]
    loader = timemachine.train_dataloader()
    assert len(loader) == 3
    first, second = (
        np.concatenate([np.concatenate([backend.numpy(a) for a in batch], axis=1) for batch in loader]) for _ in "ab"
    )
    assert first.tolist() != second.tolist()
    expected = sorted(corpus[i : i + 5] + corpus[i + 1 : i + 6] for i in range(40))
    assert sorted(first.tolist()) == sorted(second.tolist()) == expected


@pytest.mark.only(*TABS)
def test_sentence_pairs(backend, d2l):
    with pytest.warns(
        D2LRNNWarning, match=r"short ones that ship|sentence pairs, and num_train=512 and num_val=128 are"
    ):
        pairs = d2l.MTFraEng(batch_size=3)
    arrays = [backend.numpy(a) for a in pairs.arrays]
    assert {a.shape[1:] for a in arrays} == {(9,), ()}
    src, tgt, src_valid_len, label = arrays
    assert (tgt[:, 0] == pairs.tgt_vocab["<bos>"]).all()
    assert tgt[:, 1:].tolist() == label[:, :-1].tolist()
    assert src_valid_len.tolist() == (src != pairs.src_vocab["<pad>"]).sum(axis=1).tolist()
    src, tgt, src_valid_len, label = (backend.numpy(a) for a in pairs.build(["Go ."], ["VA !"]))
    assert pairs.src_vocab.to_tokens(src[0])[1:4] == [".", "<eos>", "<pad>"]
    assert pairs.tgt_vocab.to_tokens(label[0])[-1] == "<pad>"
    with pytest.raises(InputError, match="2 source and 1 target sentences"):
        pairs.build(["a", "b"], ["c"])


@pytest.mark.only(*TABS)
def test_what_is_to_be_defined_says_so(backend, d2l):
    with pytest.raises(NotImplementedError, match="get_dataloader"):
        d2l.DataModule().train_dataloader()
    with pytest.raises(NotImplementedError, match="forward"):
        d2l.Module()(backend.tensor(np.zeros((1, 2), np.float32)))
    with pytest.raises(NotImplementedError, match="loss"):
        d2l.Module().loss(1, 2)
    with pytest.raises(InputError, match="not being trained"):
        d2l.Module().plot("loss", 1, train=True)
    assert issubclass(d2l.DataModule, AnyDataModule)


# The models


@pytest.mark.only(*TABS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_numpys_model_with_the_same_weights(backend, d2l, kind):
    model = language_model(backend, d2l, kind)
    X, Y = minibatch()
    x, y = backend.tensor(X.astype(np.int64)), backend.tensor(Y.astype(np.int64))
    assert tuple(model(x).shape) == (3, 6, VOCAB_SIZE)
    numpy, net = same_in_numpy(d2l, model)
    expected, _, _ = numpy.loss_and_gradients(net, X, Y)
    assert float(backend.numpy(model.loss(model(x), y))) == pytest.approx(expected, abs=LOSS)
    each = backend.numpy(model.loss(model(x), y, averaged=False))
    assert each.shape == (18,)
    assert each.mean() == pytest.approx(expected, abs=LOSS)
    hits = backend.numpy(model.accuracy(model(x), y, averaged=False))
    assert hits.tolist() == (backend.numpy(model(x)).argmax(-1) == Y).reshape(-1).astype(np.float32).tolist()


@pytest.mark.only(*TABS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_in_and_come_out(backend, d2l, kind):
    model = language_model(backend, d2l, kind)
    own = d2l.kind_of(model)
    assert own == {"deep": "rnn", "rnn": "rnn-relu" if backend.name == "mxnet" else "rnn"}.get(kind, kind)
    before = d2l.get_weights(model)
    size = canonical.sizes(own, before)
    assert size == (VOCAB_SIZE, NUM_HIDDENS, 2 if kind in ("deep", "gru") else 1, False)
    weights = canonical.initial_weights(own, *size, seed=1)
    d2l.set_weights(model, weights)
    after = d2l.get_weights(model)
    assert {name: value.tolist() for name, value in after.items()} == {n: v.tolist() for n, v in weights.items()}
    with pytest.raises(InputError, match="'layers.0.W_xh'"):
        d2l.set_weights(model, {name: value for name, value in weights.items() if name != "layers.0.W_xh"})


@pytest.mark.only(*TABS)
def test_a_model_with_more_in_it_has_no_canonical_weights(backend, d2l):
    class Other(d2l.RNNLMScratch):
        def init_params(self):
            super().init_params()
            self.embedding = self.rnn.__class__(2, 3)
            for param in self.get_scratch_params() if backend.name == "mxnet" else ():
                param.attach_grad()

    model = Other(d2l.RNNScratch(VOCAB_SIZE, NUM_HIDDENS), VOCAB_SIZE)
    with pytest.raises(InputError, match="no model from scratch of the book's"):
        d2l.kind_of(model)
    own = (VOCAB_SIZE,) if backend.name == "torch" else ()
    model_over_layers = d2l.RNNLM(d2l.RNN(*own, NUM_HIDDENS), VOCAB_SIZE)
    model_over_layers.other = d2l.RNNScratch(2, 3)
    with pytest.raises(InputError, match="and its recurrent layers and its output layer have"):
        d2l.kind_of(model_over_layers)
    with pytest.raises(InputError, match="over none of the framework's recurrent layers"):
        d2l.rnn_model(model)
    with pytest.raises(InputError, match="has no 'W_hq'"):
        d2l.get_weights(d2l.RNNScratch(VOCAB_SIZE, NUM_HIDDENS))


@pytest.mark.only("torch")
def test_looking_at_weights_draws_no_numbers(backend, d2l):
    model = language_model(backend, d2l, "rnn")
    d2l.get_weights(model)
    backend.framework.manual_seed(0)
    expected = backend.framework.rand(3)
    backend.framework.manual_seed(0)
    d2l.get_weights(model)
    assert backend.framework.rand(3).tolist() == expected.tolist()


@pytest.mark.only(*TABS)
@pytest.mark.parametrize("kind", ["rnn-scratch", "deep"])
@pytest.mark.parametrize("clip", [0, 0.125])
def test_a_step_is_that_of_gradient_descent_with_clipping(backend, d2l, kind, clip):
    """Of the models from scratch, which have one bias: PyTorch's and MXNet's layers move both of theirs."""
    model = language_model(backend, d2l, kind, lr=2)
    numpy, net = same_in_numpy(d2l, model)
    before = d2l.get_weights(model)
    X, Y = minibatch()
    _, grads, norm = numpy.loss_and_gradients(net, X, Y)
    assert norm > 0.2
    d2l.Trainer(max_epochs=1, gradient_clip_val=clip).fit(model, loader(backend, d2l, X.astype(np.int64), Y))
    scale = 2 * (clip / norm if clip else 1)
    for name, value in d2l.get_weights(model).items():
        np.testing.assert_allclose(value, before[name] - scale * grads[name], rtol=0, atol=EDITION_1_WEIGHTS)


@pytest.mark.only(*TABS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_and_plots_perplexities(backend, d2l, kind):
    X = np.tile(np.arange(VOCAB_SIZE), 3)[None, :].repeat(4, axis=0).astype(np.int64)
    model = language_model(backend, d2l, kind, lr=2)
    weights = d2l.get_weights(model)
    own = d2l.kind_of(model)
    d2l.set_weights(model, canonical.initial_weights(own, *canonical.sizes(own, weights), seed=0))
    x, y = backend.tensor(X[:, :-1]), backend.tensor(X[:, 1:])
    first = float(np.exp(backend.numpy(model.loss(model(x), y))))
    trainer = d2l.Trainer(max_epochs=40, gradient_clip_val=1, num_gpus=0)
    trainer.fit(model, loader(backend, d2l, X[:, :-1], X[:, 1:], batch_size=2))
    lines = model.board.data
    assert {name: len(line) for name, line in lines.items()} == {"train_ppl": 80, "val_ppl": 40}
    assert lines["train_ppl"][0] == (0, pytest.approx(first, rel=1e-5))
    assert lines["val_ppl"][-1].x == 40
    assert lines["val_ppl"][-1].y < 1.5 < lines["val_ppl"][0].y
    assert (trainer.epoch, trainer.train_batch_idx, trainer.val_batch_idx) == (39, 80, 80)


@pytest.mark.only(*TABS)
def test_a_loss_that_is_no_number_ends_the_training(backend, d2l):
    class Nan(d2l.RNNLMScratch):
        def loss(self, y_hat, y, averaged=True):
            return super().loss(y_hat, y) * float("nan")

    model = Nan(d2l.RNNScratch(VOCAB_SIZE, NUM_HIDDENS), VOCAB_SIZE)
    X, Y = minibatch()
    with pytest.raises(DivergenceError, match="at the end of epoch 1"):
        d2l.Trainer(max_epochs=3).fit(model, loader(backend, d2l, X.astype(np.int64), Y))


@pytest.mark.only(*TABS)
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_epochs": 0}, "max_epochs must be"),
        ({"max_epochs": 1, "num_gpus": -1}, "num_gpus must be"),
        ({"max_epochs": 1, "gradient_clip_val": -1}, "gradient_clip_val must be"),
    ],
)
def test_a_trainer_checks_its_numbers(backend, d2l, options, match):
    with pytest.raises(InputError, match=match):
        d2l.Trainer(**options)


@pytest.mark.only(*TABS)
def test_ctrl_c_that_python_drops_ends_the_training(backend, d2l):
    class Freed:
        def __del__(self):
            raise KeyboardInterrupt

    class Interrupted(d2l.RNNLMScratch):
        def validation_step(self, batch):
            freed = Freed()
            del freed

    X, Y = minibatch()
    model = Interrupted(d2l.RNNScratch(VOCAB_SIZE, NUM_HIDDENS), VOCAB_SIZE)
    trainer = d2l.Trainer(max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(model, loader(backend, d2l, X.astype(np.int64), Y))
    assert trainer.epoch == 0


@pytest.mark.only(*TABS)
def test_linear_regression(backend, d2l):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 3)).astype(np.float32)
    y = (X @ np.float32([[1], [-2], [0.5]]) + 3).astype(np.float32)
    model = d2l.LinearRegression(lr=0.1)
    first = backend.numpy(model(backend.tensor(X)))
    assert np.abs(first).max() < 0.2  # of weights with standard deviation 0.01
    d2l.Trainer(max_epochs=60).fit(model, loader(backend, d2l, X, y, batch_size=16))
    w, b = (backend.numpy(part).reshape(-1) for part in model.get_w_b())
    np.testing.assert_allclose([*w, *b], [1, -2, 0.5, 3], atol=1e-3)
    assert list(model.board.data) == ["train_loss", "val_loss"]


@pytest.mark.only(*TABS)
def test_dropout_acts_in_training_only(backend, d2l):
    own = (VOCAB_SIZE,) if backend.name == "torch" else ()
    seen = []

    class Watched(d2l.RNNLM):
        def training_step(self, batch):
            seen.append(len({float(backend.numpy(self.loss(self(*batch[:-1]), batch[-1]))) for _ in range(4)}))
            return super().training_step(batch)

        def validation_step(self, batch):
            seen.append(len({float(backend.numpy(self.loss(self(*batch[:-1]), batch[-1]))) for _ in range(4)}))

    model = Watched(d2l.GRU(*own, 16, 2, 0.5), VOCAB_SIZE)
    X, Y = minibatch()
    rows = loader(backend, d2l, X.astype(np.int64), Y)
    if backend.name == "mxnet":
        with pytest.warns(D2LRNNWarning, match="dropout=0.5 of GRU has no effect"):
            d2l.Trainer(max_epochs=1).fit(model, rows)
    else:
        d2l.Trainer(max_epochs=1).fit(model, rows)
        assert seen[0] > 1
    assert seen[1] == 1
    fresh = d2l.RNNLM(d2l.GRU(*own, 16, 2, 0.5), VOCAB_SIZE)  # which nobody has told its mode
    assert len({fresh.step(1, None)[0].tobytes() for _ in range(4)}) == 1
    with pytest.raises(InputError, match="dropout=0.5"):
        d2l.kind_of(model)


# Prediction, and the way into a run folder


@pytest.fixture(scope="module")
def story():
    """Return a few lines that a small model learns by heart."""
    return "time and again the traveller came to the machine and the machine was his time\n" * 3


def trained(backend, d2l, kind, text):
    vocab = TimeMachineText().build(text)[1]
    corpus = TimeMachineText().build(text, vocab)[0]
    windows = TimeMachineText.windows(corpus, 12, 100, 20).astype(np.int64)
    model = language_model(backend, d2l, kind, len(vocab), 16)
    rows = loader(backend, d2l, windows[:, :-1].copy(), windows[:, 1:].copy(), batch_size=32)
    d2l.Trainer(max_epochs=8, gradient_clip_val=1).fit(model, rows)
    return model, vocab


@pytest.mark.only(*TABS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_becomes_a_run_and_writes_the_same_there_and_in_numpy(backend, d2l, kind, story, tmp_path):
    model, vocab = trained(backend, d2l, kind, story)
    text = model.predict("The time", 30, vocab, d2l.try_gpu())
    assert text.startswith("the time")
    assert len(text) == 38
    own = d2l.kind_of(model)
    exchange.write_file(tmp_path / "weights.safetensors", own, d2l.get_weights(model))
    for name in (backend.name, "numpy"):
        folder = tmp_path / name
        conversion.convert(tmp_path / "weights.safetensors", folder, backend=name, kind=own, vocab=vocab)
        (continued,) = prediction.predict(folder, ["The time"], 30, device="cpu")
        assert continued["text"] == text
    if kind not in ("rnn-scratch", "deep"):
        net = d2l.rnn_model(model)
        assert backend.predict("The time", 30, net, vocab) == text


@pytest.mark.only(*TABS)
def test_a_prefix_that_is_empty_or_of_other_letters(backend, d2l, story):
    model, vocab = trained(backend, d2l, "rnn-scratch", story)
    assert len(model.predict("", 5, vocab)) == 5
    assert model.predict("x", 0, vocab) == "<unk>"
    with pytest.raises(InputError, match="num_preds"):
        model.predict("time", -1, vocab)


def test_a_vocabulary_of_a_run_begins_with_the_unknown_token_and_the_weights_follow(tmp_path):
    vocab = Vocab(list("ba "))
    weights = canonical.initial_weights("rnn", 4, 3, seed=0)
    exchange.write_file(tmp_path / "w.safetensors", "rnn", weights)
    conversion.convert(tmp_path / "w.safetensors", tmp_path / "run", backend="numpy", vocab=vocab)
    net, made, _ = prediction.load_model(tmp_path / "run")
    assert made.idx_to_token == ["<unk>", " ", "a", "b"]
    kept = backends.load("numpy").get_weights(net)
    order = [1, 0, 2, 3]
    np.testing.assert_array_equal(kept["layers.0.W_xh"], weights["layers.0.W_xh"][order])
    np.testing.assert_array_equal(kept["output.W_hq"], weights["output.W_hq"][:, order])
    np.testing.assert_array_equal(kept["output.b_q"], weights["output.b_q"][order])
    with pytest.raises(InputError, match="the vocabulary has 3 tokens, and the model"):
        conversion.convert(tmp_path / "w.safetensors", tmp_path / "b", backend="numpy", vocab=Vocab(list("a ")))


# Translation


class Translation:
    """A small encoder and decoder, as a reader may write them."""

    @staticmethod
    def decoder(backend, d2l, vocab_size, embed_size, num_hiddens):
        framework = backend.framework

        class Last(d2l.Decoder):
            def __init__(self):
                super().__init__()
                if backend.name == "torch":
                    self.embedding = framework.nn.Embedding(vocab_size, embed_size)
                    self.rnn = d2l.GRU(embed_size, num_hiddens, 1)
                    self.dense = framework.nn.Linear(num_hiddens, vocab_size)
                elif backend.name == "mxnet":
                    self.embedding = framework.gluon.nn.Embedding(vocab_size, embed_size)
                    self.rnn = d2l.GRU(num_hiddens, 1)
                    self.dense = framework.gluon.nn.Dense(vocab_size, flatten=False)
                    self.initialize(framework.init.Xavier())
                else:
                    self.embedding = framework.keras.layers.Embedding(vocab_size, embed_size)
                    self.rnn = d2l.GRU(num_hiddens, 1)
                    self.dense = framework.keras.layers.Dense(vocab_size)

            def init_state(self, enc_outputs, *args):
                return enc_outputs[1]

            def forward(self, X, state):
                outputs, state = self.rnn(self.embedding(d2l.transpose(X)), state)
                outputs = self.dense(outputs)
                if backend.name == "tensorflow":
                    return d2l.transpose(outputs, (1, 0, 2)), state
                return d2l.swapaxes(outputs, 0, 1), state

            call = forward

        return Last()


@pytest.mark.only(*TABS)
def test_a_model_learns_to_translate(backend, d2l):
    pairs = [("go .", "va !"), ("stop .", "arrête !"), ("go on .", "continue !"), ("stop it .", "arrête ça !")]

    class Pairs(d2l.MTFraEng):
        def _download(self):
            return "\n".join("\t".join(pair) for pair in pairs * 2)

    pairs_data = Pairs(batch_size=4, num_steps=5, num_train=4, num_val=4)
    src, tgt = pairs_data.src_vocab, pairs_data.tgt_vocab
    encoder = d2l.Seq2SeqEncoder(len(src), 8, 16, 1)
    decoder = Translation.decoder(backend, d2l, len(tgt), 8, 16)
    model = d2l.Seq2Seq(encoder, decoder, tgt_pad=tgt["<pad>"], lr=0.02)
    d2l.Trainer(max_epochs=80, gradient_clip_val=1).fit(model, pairs_data)
    sources, targets = zip(*pairs, strict=True)
    preds, attention = model.predict_step(pairs_data.build(sources, targets), d2l.cpu(), 5)
    texts = [" ".join(tgt.to_tokens(row)).split(" <eos>")[0] for row in backend.numpy(preds)]
    assert texts == list(targets)
    assert attention == []
    assert list(model.board.data) == ["train_loss", "val_loss"]
    assert model.board.data["val_loss"][-1].y < 0.2


@pytest.mark.only(*TABS)
def test_padding_has_no_loss(backend, d2l):
    model = d2l.Seq2Seq(d2l.Encoder(), d2l.Decoder(), tgt_pad=0, lr=0.1)
    rng = np.random.default_rng(0)
    Y_hat, Y = rng.normal(size=(2, 3, 4)).astype(np.float32), np.array([[1, 2, 0], [3, 0, 0]])
    log_sum = np.log(np.exp(Y_hat).sum(-1))
    each = log_sum - np.take_along_axis(Y_hat, Y[..., None], -1)[..., 0]
    loss = model.loss(backend.tensor(Y_hat), backend.tensor(Y.astype(np.int64)))
    assert float(backend.numpy(loss)) == pytest.approx(each[Y != 0].mean(), abs=LOSS)


@pytest.mark.only(*TABS)
def test_the_encoders_shapes(backend, d2l):
    encoder = d2l.Seq2SeqEncoder(10, 8, 16, 2)
    outputs, state = encoder(backend.tensor(np.zeros((4, 9), np.float32)))
    d2l.check_shape(outputs, (9, 4, 16))
    if backend.name == "tensorflow":
        d2l.check_len(state, 2)
        d2l.check_shape(state[0], (4, 16))
    else:
        d2l.check_shape(state, (2, 4, 16))


# The tabs


@pytest.mark.only(*TABS)
def test_all_that_is_promised_is_there(backend, d2l):
    assert set(shared.__all__) <= set(d2l.__all__)
    for name in d2l.__all__:
        assert getattr(d2l, name) is not None
    for name in ("reshape", "zeros", "float32", "transpose", "sigmoid", "expand_dims", "int64"):
        assert hasattr(d2l, name), name
    with pytest.raises(AttributeError, match="no attribute 'RNNModelScratch'"):
        d2l.RNNModelScratch  # noqa: B018


@pytest.mark.parity
def test_the_tabs_have_the_same_names_and_signatures():
    tabs = {name: import_module(f"d2lrnn.edition_1.{name}") for name in TABS}
    only = {"torch": {"init_seq2seq"}, "mxnet": {"SGD"}, "tensorflow": set()}
    names = {tab: set(module.__all__) - only[tab] for tab, module in tabs.items()}
    assert names["torch"] == names["mxnet"] == names["tensorflow"]
    for name in sorted(names["mxnet"]):
        thing = getattr(tabs["mxnet"], name)
        if not callable(thing) or name == "plt":
            continue
        ours = [str(inspect.signature(getattr(tabs[tab], name))).split(" ->")[0] for tab in ("mxnet", "tensorflow")]
        if name not in ("Encoder", "Decoder", "try_gpu", "gpu", "cpu"):
            assert ours[0] == ours[1], name


@pytest.mark.only(*TABS)
def test_an_import_brings_nothing_heavy_and_no_other_framework(backend):
    code = (
        f"import d2lrnn.edition_1.{backend.name}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    loaded = set(result.stdout.split())
    assert loaded & set(backends.FRAMEWORKS) == {backend.name}
    assert not loaded & {"torchvision", "pandas"}
    if backend.name != "tensorflow":  # which imports them by itself, where they are
        assert not loaded & {"matplotlib", "scipy", "IPython"}


# What a reader of the change found


def test_a_download_whose_hash_was_mistyped_can_be_corrected(monkeypatch):
    monkeypatch.setattr(downloads, "DATA_HUB", dict(downloads.DATA_HUB))
    from d2lrnn.edition_1 import downloads as own

    hub = dict(own.DATA_HUB)
    monkeypatch.setattr(own, "DATA_HUB", hub)
    monkeypatch.setattr(own, "_ASKED_FOR", set())
    url = "http://localhost/novel.txt"
    for sha1 in ("a" * 40, "b" * 40):
        assert own._registered(url, sha1) == url
        assert hub[url] == (url, sha1)
    with pytest.raises(InputError, match="leave sha1_hash out"):
        own._registered(next(iter(shared.DATA_HUB)), "c" * 40)


def test_a_new_fit_begins_new_lines():
    board = ProgressBoard(display=False)
    with board.held():
        board.draw(1, 2, "loss")
        board.draw(2, 2, "loss", every_n=5)
    with board.held():
        board.draw(0, 1, "loss")
    assert board.data == {"loss": [Point(0, 1)]}
    assert board.raw_points == {"loss": []}


def test_a_loss_that_no_number_holds_is_an_infinite_perplexity():
    from d2lrnn.edition_1.base import perplexity

    assert perplexity(np.float32(0)) == 1
    assert perplexity(np.float32(1e30)) == np.inf
