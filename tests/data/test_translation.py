"""Sentence pairs for translation: where they come from, how they become minibatches, and the frame of a model."""

import hashlib
import importlib
import inspect
import io
import zipfile
from pathlib import Path

import numpy as np
import pooch
import pytest

from d2lrnn.data import (
    DATA_HUB,
    DownloadError,
    Vocab,
    bleu,
    build_array_nmt,
    download_extract,
    downloads,
    load_arrays_nmt,
    preprocess_nmt,
    read_data_nmt,
    tokenize_nmt,
    truncate_pad,
)
from d2lrnn.data import translation as translation_module
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError

TEXT = "Go.\tVa\u202f!\nWe go.\tNous allons.\nWe sing, we go!\tNous chantons, nous allons\xa0!\n"
RESERVED = ["<pad>", "<bos>", "<eos>"]
STAND_IN = "ship with the package stand in: .*D2LRNN_DATA"


def zipped(**files):
    """Return the bytes of a zip archive with these files."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The user's folder, which is empty; a cache of the test's own; and no server."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv(downloads.DATA_ENV, str(folder))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setitem(DATA_HUB, "fra-eng", ("http://127.0.0.1:1/fra-eng.zip", "0" * 40))
    return folder


@pytest.fixture
def pairs(own):
    """The user's folder has sentence pairs, unpacked."""
    (own / "fra-eng").mkdir()
    (own / "fra-eng" / "fra.txt").write_text(TEXT, encoding="utf-8")


@pytest.fixture
def put_archive(own, monkeypatch):
    """Return a function that puts an archive into the user's folder, and its hash into the registry."""

    def put(content, file="fra-eng.zip", name="fra-eng"):
        (own / file).write_bytes(content)
        monkeypatch.setitem(DATA_HUB, name, (f"http://127.0.0.1:1/{file}", hashlib.sha1(content).hexdigest()))

    return put


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# Where the pairs come from


BOOKS_ENTRY = DATA_HUB["fra-eng"]  # read before a fixture puts another address there


def test_the_registry_has_the_books_entry():
    expected = (downloads.DATA_URL + "fra-eng.zip", "94646ad1522d915e7b0f9296181140edcf86a4f5")
    assert expected == BOOKS_ENTRY


def test_an_archive_is_unpacked_into_the_cache_once(put_archive, own, tmp_path, monkeypatch):
    notes = {"fra-eng/": "", "fra-eng/_about.txt": "notes", "__MACOSX/fra-eng/._fra.txt": "more notes"}
    put_archive(zipped(**{**notes, "fra-eng/fra.txt": TEXT}))
    folder = Path(download_extract("fra-eng"))
    assert folder.parents[1] == tmp_path / "cache"
    assert files_in(folder) == ["_about.txt", "fra.txt"]
    assert files_in(own) == ["fra-eng.zip"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["fra-eng"]  # no temporary folder is left
    assert read_data_nmt() == TEXT
    monkeypatch.setattr(translation_module, "_unpack", None)
    assert download_extract("fra-eng") == str(folder)


def test_another_archive_of_the_same_name_is_not_taken_for_the_first(put_archive):
    put_archive(zipped(**{"fra-eng/fra.txt": TEXT}))
    assert read_data_nmt() == TEXT
    put_archive(zipped(**{"fra-eng/fra.txt": "I\tJe\n"}))
    assert read_data_nmt() == "I\tJe\n"


def test_the_folder_in_the_archive_may_have_another_name(put_archive):
    put_archive(zipped(**{"letters/a.txt": "a"}), "alphabet-1.zip", "alphabet")
    folder = Path(download_extract("alphabet", "letters"))
    assert folder.name == "letters"
    assert files_in(folder) == ["a.txt"]


def test_an_unpacked_folder_of_the_users_is_taken_as_it_is(pairs, own):
    assert download_extract("fra-eng") == str(own / "fra-eng")
    assert read_data_nmt() == TEXT


def test_the_users_archive_comes_before_an_unpacked_folder(pairs, put_archive):
    put_archive(zipped(**{"fra-eng/fra.txt": "I\tJe\n"}))
    assert read_data_nmt() == "I\tJe\n"


def test_line_ends_of_windows_are_read_as_line_ends(own):
    (own / "fra-eng").mkdir()
    (own / "fra-eng" / "fra.txt").write_bytes(b"Go.\tVa !\r\nRun.\tCours !\r\n")
    assert read_data_nmt() == "Go.\tVa !\nRun.\tCours !\n"


def test_short_pairs_stand_in_for_those_that_cannot_be_had(tmp_path):
    with pytest.warns(D2LRNNWarning, match=STAND_IN) as caught:
        folder = Path(download_extract("fra-eng"))
    assert [warning.filename for warning in caught] == [__file__]
    assert tmp_path / "cache" in folder.parents
    with pytest.warns(D2LRNNWarning, match=STAND_IN):
        text = read_data_nmt()
    assert (folder / "fra.txt").read_text(encoding="utf-8") == text
    source, target = tokenize_nmt(text)
    assert len(source) == len(target) == text.count("\n") >= 140
    assert len({tuple(line) for line in source}) == len(source)
    assert f"{len(source)} short ones" in str(caught[0].message)


def test_the_stand_in_is_rich_enough_to_learn_from():
    with pytest.warns(D2LRNNWarning, match=STAND_IN):
        (X, _, Y, _), src_vocab, tgt_vocab = load_arrays_nmt(10)
    assert len(src_vocab) > 50
    assert len(tgt_vocab) > 50
    assert (src_vocab.unk == X).mean() < 0.05
    assert (tgt_vocab.unk == Y).mean() < 0.05


def test_a_damaged_archive_of_the_users_is_said_with_the_stand_in(own):
    (own / "fra-eng.zip").write_bytes(b"something else")
    with pytest.warns(D2LRNNWarning, match="stand in: .*is not the expected file .*: replace or remove it"):
        download_extract("fra-eng")


def test_nothing_stands_in_for_other_downloads(monkeypatch):
    monkeypatch.setitem(DATA_HUB, "alphabet", ("http://127.0.0.1:1/alphabet.zip", "0" * 40))
    with pytest.raises(DownloadError, match=r"cannot download .*alphabet\.zip"):
        download_extract("alphabet")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param(["alphabet"], "unknown download 'alphabet': known are .*fra-eng", id="name"),
        pytest.param(
            ["time_machine"], r"is not a zip archive: get it with download\('time_machine'\)", id="no-archive"
        ),
        *[
            pytest.param(["fra-eng", path], "without a path", id=path or "empty")
            for path in ("..", ".", "", "a/b", "/a")
        ],
    ],
)
def test_a_download_that_cannot_be_unpacked_is_an_error(arguments, match):
    with pytest.raises(InputError, match=match):
        download_extract(*arguments)


@pytest.mark.parametrize(
    "name", ["../fra.txt", "/fra.txt", "fra-eng/../../fra.txt", "fra.txt", "fra-eng", "other/fra.txt", "fra-eng/..\\a"]
)
def test_an_archive_with_a_file_outside_its_folder_is_refused(put_archive, tmp_path, name):
    put_archive(zipped(**{"fra-eng/fra.txt": TEXT, name: "stray"}))
    with pytest.raises(InputError, match="not in its folder 'fra-eng': .*nothing was unpacked"):
        download_extract("fra-eng")
    assert files_in(tmp_path) == ["own/fra-eng.zip"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(b"no archive", "cannot unpack", id="no-archive"),
        pytest.param(zipped(**{"fra-eng/fra.txt": TEXT})[:-30], "cannot unpack", id="broken-off"),
        pytest.param(zipped(), "holds no files", id="empty"),
    ],
)
def test_a_damaged_archive_is_an_error_and_leaves_nothing(put_archive, tmp_path, content, match):
    put_archive(content)
    with pytest.raises(InputError, match=match):
        download_extract("fra-eng")
    assert files_in(tmp_path) == ["own/fra-eng.zip"]


def test_a_damaged_file_in_an_archive_is_an_error_and_leaves_nothing(put_archive, tmp_path):
    put_archive(zipped(**{"fra-eng/fra.txt": TEXT}).replace(b"We sing", b"We SING"))
    with pytest.raises(InputError, match="cannot unpack .*CRC"):
        download_extract("fra-eng")
    assert files_in(tmp_path) == ["own/fra-eng.zip"]


def test_a_cache_that_cannot_be_written_is_an_error(put_archive, tmp_path):
    put_archive(zipped(**{"fra-eng/fra.txt": TEXT}))
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(InputFileError, match="cannot write .*: .*D2LRNN_DATA"):
        download_extract("fra-eng")


def test_a_process_that_was_first_is_no_error(put_archive, tmp_path, monkeypatch):
    put_archive(zipped(**{"fra-eng/fra.txt": TEXT}))
    unpack = translation_module._unpack

    def slowly(path, root, into):
        unpack(path, root, into)
        unpack(path, root, into.parent)  # the other process

    monkeypatch.setattr(translation_module, "_unpack", slowly)
    assert files_in(Path(download_extract("fra-eng"))) == ["fra.txt"]


def test_a_folder_without_the_file_is_an_error(own):
    (own / "fra-eng").mkdir()
    with pytest.raises(InputFileError, match=r"there is no fra\.txt in .*put it there, or remove the folder"):
        read_data_nmt()


# From the pairs to arrays


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Va\u202f!", "va !"),
        ("Va\xa0!", "va !"),
        ("Va!", "va !"),
        ("Go, go.\n", "go , go .\n"),
        ("Qui ?", "qui ?"),
        ("So...", "so . . ."),
        (".", "."),
        ("J'ai 3:15", "j'ai 3:15"),
        ("", ""),
    ],
)
def test_punctuation_becomes_words_of_its_own(text, expected):
    assert preprocess_nmt(text) == expected


def test_pairs_are_split_into_words():
    source, target = tokenize_nmt(preprocess_nmt(TEXT))
    assert source == [["go", "."], ["we", "go", "."], ["we", "sing", ",", "we", "go", "!"]]
    assert target[:2] == [["va", "!"], ["nous", "allons", "."]]


@pytest.mark.parametrize(("num_examples", "expected"), [(None, 3), (1, 1), (np.int64(2), 2), (3, 3), (100, 3)])
def test_as_many_pairs_are_taken_as_are_asked_for(num_examples, expected):
    source, target = tokenize_nmt(TEXT, num_examples)
    assert len(source) == len(target) == expected


def test_what_is_no_pair_is_left_out():
    text = "a heading\nGo.\tVa !\tthe author\n\nRun.\tCours !"
    assert tokenize_nmt(text, 2) == ([["Go."], ["Run."]], [["Va", "!"], ["Cours", "!"]])


@pytest.mark.parametrize("text", ["", "no pair here\n"])
def test_a_text_without_pairs_is_an_error(text):
    with pytest.raises(InputError, match="there are no sentence pairs: give a text with a pair in each line"):
        tokenize_nmt(text)


@pytest.mark.parametrize(("num_steps", "expected"), [(5, [7, 8, 9, 1, 1]), (3, [7, 8, 9]), (2, [7, 8])])
@pytest.mark.parametrize("line", [[7, 8, 9], (7, 8, 9)], ids=["list", "tuple"])
def test_a_line_is_cut_off_or_filled_up(line, num_steps, expected):
    assert truncate_pad(line, num_steps, 1) == expected


def test_a_line_is_not_changed_in_place():
    line = [7]
    truncate_pad(line, 3, 1).append(2)
    assert line == [7]


def test_sentences_become_rows_of_one_length():
    vocab = Vocab([["go", "now"]], reserved_tokens=RESERVED)  # go is 4, now is 5, and <eos> is 3
    array, valid_len = build_array_nmt([["go"], ["go", "now", "then"], []], vocab, 3)
    assert array.dtype == valid_len.dtype == np.int32
    np.testing.assert_array_equal(array, [[4, 3, 1], [4, 5, 0], [3, 1, 1]])
    np.testing.assert_array_equal(valid_len, [2, 3, 1])


def test_the_pairs_are_loaded_as_arrays(pairs):
    (X, X_valid_len, Y, Y_valid_len), src_vocab, tgt_vocab = load_arrays_nmt(5)
    # once in these pairs: sing and the comma; of the French, va, chantons, the comma and the full stop
    assert src_vocab.idx_to_token == ["<unk>", *RESERVED, "go", "we", "."]
    assert tgt_vocab.idx_to_token == ["<unk>", *RESERVED, "nous", "!", "allons"]
    np.testing.assert_array_equal(X, [[4, 6, 3, 1, 1], [5, 4, 6, 3, 1], [5, 0, 0, 5, 4]])
    np.testing.assert_array_equal(X_valid_len, [3, 4, 5])
    np.testing.assert_array_equal(Y, [[0, 5, 3, 1, 1], [4, 6, 0, 3, 1], [4, 0, 0, 4, 6]])
    np.testing.assert_array_equal(Y_valid_len, [3, 4, 5])


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "5"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        pytest.param(lambda n: tokenize_nmt(TEXT, n), "num_examples", id="tokenize_nmt"),
        pytest.param(lambda n: truncate_pad([1], n, 0), "num_steps", id="truncate_pad"),
        pytest.param(
            lambda n: build_array_nmt([["a"]], Vocab(["a"], 0, RESERVED), n), "num_steps", id="build_array_nmt"
        ),
        pytest.param(lambda n: load_arrays_nmt(n), "num_steps", id="load_arrays_nmt-steps"),
        pytest.param(lambda n: load_arrays_nmt(5, n), "num_examples", id="load_arrays_nmt-examples"),
        pytest.param(lambda n: bleu("a", "a", n), "k", id="bleu"),
    ],
)
def test_a_size_that_is_not_positive_is_an_error(pairs, function, name, bad):
    with pytest.raises(InputError, match=f"^{name} must be a whole number of at least 1, not {bad!r}"):
        function(bad)


def test_a_vocabulary_without_the_reserved_tokens_is_an_error():
    with pytest.raises(InputError, match=r"must have <pad> and <eos>: make it with reserved_tokens=\['<pad>', '<bos>'"):
        build_array_nmt([["go"]], Vocab([["go"]]), 3)


def test_no_sentences_are_an_error():
    with pytest.raises(InputError, match="there are no sentences"):
        build_array_nmt([], Vocab([["go"]], reserved_tokens=RESERVED), 3)


# The score of a translation


@pytest.mark.parametrize(
    ("pred", "label", "k", "expected"),
    [
        pytest.param("va !", "va !", 2, 1.0, id="perfect"),
        pytest.param("il est ici", "va !", 2, 0.0, id="nothing-in-common"),
        # the book's own example: a second B, and so BB, is not in the label
        pytest.param("A B B C D", "A B C D E F", 1, np.exp(1 - 6 / 5) * (4 / 5) ** 0.5, id="one-word-sequences"),
        pytest.param(
            "A B B C D", "A B C D E F", 2, np.exp(1 - 6 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25, id="two-word-sequences"
        ),
        pytest.param("a a a a", "a b", 1, (1 / 4) ** 0.5, id="a-word-counts-as-often-as-in-the-label"),
        pytest.param("il est calme . .", "il est calme .", 1, (4 / 5) ** 0.5, id="too-long-is-not-punished-twice"),
        pytest.param("calme", "calme", 4, 1.0, id="shorter-than-k"),
        pytest.param("", "calme", 2, 0.0, id="empty"),
        pytest.param("calme", "", 2, 0.0, id="empty-label"),
    ],
)
def test_bleu(pred, label, k, expected):
    assert bleu(pred, label, k) == pytest.approx(expected, rel=1e-12)


# In each framework


def test_sentences_become_tensors(backend):
    vocab = Vocab([["go", "now"]], reserved_tokens=RESERVED)
    tensors = backend.d2l.build_array_nmt([["go"], ["now", "go"]], vocab, 4)
    assert {type(tensor).__module__.split(".")[0] for tensor in tensors} == {backend.name}
    np.testing.assert_array_equal(backend.numpy(tensors[0]), [[4, 3, 1, 1], [5, 4, 3, 1]])
    np.testing.assert_array_equal(backend.numpy(tensors[1]), [2, 3])


def test_minibatches_of_pairs(backend, pairs):
    data_iter, src_vocab, tgt_vocab = backend.d2l.load_data_nmt(2, 5)
    arrays, *vocabs = load_arrays_nmt(5)
    assert [vocab.idx_to_token for vocab in vocabs] == [src_vocab.idx_to_token, tgt_vocab.idx_to_token]
    batches = [[backend.numpy(tensor) for tensor in batch] for batch in data_iter]
    assert [[part.shape for part in batch] for batch in batches] == [
        [(2, 5), (2,), (2, 5), (2,)],
        [(1, 5), (1,), (1, 5), (1,)],
    ]
    # shuffled, and a pair stays together
    rows = {tuple(np.hstack([X, n, Y, m])) for batch in batches for X, n, Y, m in zip(*batch, strict=True)}
    assert rows == {tuple(np.hstack(row)) for row in zip(*arrays, strict=True)}


def test_as_many_pairs_are_loaded_as_are_asked_for(backend, pairs):
    assert sum(len(batch[0]) for batch in backend.d2l.load_data_nmt(2, 5, 2)[0]) == 2
    assert sum(len(batch[0]) for batch in backend.d2l.load_data_nmt(2, 5, num_examples=None)[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "name"), [((0, 5), "batch_size"), ((2, 0), "num_steps"), ((2, 5, 0), "num_examples")]
)
def test_a_size_of_minibatches_that_is_not_positive_is_an_error(backend, pairs, arguments, name):
    with pytest.raises(InputError, match=f"^{name} must be"):
        backend.d2l.load_data_nmt(*arguments)


@pytest.mark.parametrize(("arguments", "name"), [((0, 5), "batch_size"), ((2, 0), "num_steps")])
def test_a_size_is_checked_before_the_pairs_are_looked_for(backend, arguments, name):
    with pytest.raises(InputError, match=f"^{name} must be"):  # and no warning that the stand-in is used
        backend.d2l.load_data_nmt(*arguments)


def test_the_frame_has_the_tabs_own_form(backend):
    d2l, tf = backend.d2l, backend.name == "tensorflow"
    name, more = ("call", ", **kwargs") if tf else ("forward", "")
    forms = {
        d2l.Encoder: f"(self, X, *args{more})",
        d2l.Decoder: f"(self, X, state{more})",
        d2l.EncoderDecoder: f"(self, enc_X, dec_X, *args{more})",
    }
    for base, form in forms.items():
        parameters = inspect.signature(getattr(base, name)).parameters.values()
        plain = inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters])
        assert str(plain) == form
        assert inspect.getdoc(getattr(base, name))


def test_the_frame_has_the_frameworks_own_bases(backend):
    framework = backend.framework
    module, model = {
        "torch": lambda: (framework.nn.Module,) * 2,
        "mxnet": lambda: (framework.gluon.nn.Block,) * 2,
        "tensorflow": lambda: (framework.keras.layers.Layer, framework.keras.Model),
        "numpy": lambda: (importlib.import_module("d2lrnn.numpy.nn").Module,) * 2,
    }[backend.name]()
    assert issubclass(backend.d2l.Encoder, module)
    assert issubclass(backend.d2l.Decoder, module)
    assert issubclass(backend.d2l.EncoderDecoder, model)


def own_classes(backend):
    """Return an encoder and a decoder whose numbers tell which arguments arrived, in the tab's form."""
    d2l = backend.d2l

    def encode(self, X, *args, **kwargs):
        self.seen = kwargs
        return X * 10, args

    def init_state(self, enc_outputs, *args):
        self.args = args
        return enc_outputs[0]

    def decode(self, X, state, **kwargs):
        self.seen = kwargs
        return X + state, state

    name = "call" if backend.name == "tensorflow" else "forward"
    encoder = type("Tenfold", (d2l.Encoder,), {name: encode})
    decoder = type("Sum", (d2l.Decoder,), {name: decode, "init_state": init_state})
    return encoder(), decoder()


def test_the_decoder_starts_from_what_the_encoder_found(backend):
    encoder, decoder = own_classes(backend)
    net = backend.d2l.EncoderDecoder(encoder, decoder)
    X, Y, valid_len = (backend.tensor(np.array(n, np.float32)) for n in ([[1, 2]], [[3, 4]], [2]))
    output, state = net(X, Y, valid_len)
    np.testing.assert_array_equal(backend.numpy(output), [[13, 24]])
    np.testing.assert_array_equal(backend.numpy(state), [[10, 20]])
    assert len(decoder.args) == 1
    np.testing.assert_array_equal(backend.numpy(decoder.args[0]), [2])
    assert net.encoder is encoder
    assert net.decoder is decoder


@pytest.mark.only("tensorflow")
def test_keywords_reach_the_encoder_and_the_decoder(backend):
    encoder, decoder = own_classes(backend)
    X = backend.tensor(np.ones((1, 2), np.float32))
    backend.d2l.EncoderDecoder(encoder, decoder)(X, X, scale=3)
    assert (encoder.seen["scale"], decoder.seen["scale"]) == (3, 3)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("training", [True, False], ids=["training", "not-training"])
def test_the_layers_inside_know_whether_this_is_training(backend, training):
    """Keras 2 hands the keyword on, and Keras 3 keeps it from the signatures and tells the layers itself."""
    encoder, decoder = own_classes(backend)
    dropout = backend.framework.keras.layers.Dropout(0.5)
    type(encoder).call = lambda self, X, *args, **kwargs: (dropout(X, **kwargs), args)
    X = backend.tensor(np.ones((1, 100), np.float32))
    _, state = backend.d2l.EncoderDecoder(encoder, decoder)(X, X, training=training)
    assert bool((backend.numpy(state) == 0).any()) == training


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_the_layers_inside_get_their_weights_at_the_first_call(backend, compiled):
    """Keras 3 would warn that it cannot trace a call with *args, and a warning is an error here."""
    encoder, decoder = own_classes(backend)
    encoder.rnn = backend.framework.keras.layers.GRU(2)
    type(encoder).call = lambda self, X, *args, **kwargs: (self.rnn(X, **kwargs), args)
    net = backend.d2l.EncoderDecoder(encoder, decoder)
    X, Y = (backend.tensor(np.ones(shape, np.float32)) for shape in ((1, 3, 2), (1, 2)))
    output, _ = (backend.framework.function(net) if compiled else net)(X, Y, backend.tensor([3]))
    assert tuple(output.shape) == (1, 2)
    assert [tuple(weight.shape) for weight in net.trainable_variables] == [(2, 6), (2, 6), (2, 6)]


@pytest.mark.parametrize("part", ["Encoder", "Decoder"])
def test_what_is_not_defined_is_named(backend, part):
    X = backend.tensor(np.ones((1, 2), np.float32))
    Mine = type("Mine", (getattr(backend.d2l, part),), {})
    with pytest.raises(NotImplementedError, match=r"define (call|forward)\(self, X, .*\) in Mine"):
        Mine()(*[X, X][: 1 if part == "Encoder" else 2])


def test_an_init_state_that_is_not_defined_is_named(backend):
    with pytest.raises(NotImplementedError, match=r"define init_state\(self, enc_outputs, \*args\) in Mine"):
        type("Mine", (backend.d2l.Decoder,), {})().init_state(None)


def test_pyplot_is_there(backend):
    from matplotlib import pyplot

    assert backend.d2l.plt is pyplot


def test_another_name_is_not_there(backend):
    with pytest.raises(AttributeError, match=rf"^module 'd2lrnn\.{backend.name}' has no attribute 'no_such_name'$"):
        backend.d2l.no_such_name  # noqa: B018
