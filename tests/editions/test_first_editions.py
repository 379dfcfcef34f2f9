"""The first editions' lessons: their texts, minibatches, clipping, predictions, training and printed lines."""

import contextlib
import hashlib
import inspect
import io
import math
import re
import zipfile

import numpy as np
import pytest
import reproduce_worker
from conftest import load_edition

from d2lrnn.core.history import Epoch
from d2lrnn.data import CORPORA, DATA_HUB, DATA_URL, downloads, load_data, read_text
from d2lrnn.data.text import Preparation
from d2lrnn.editions import characters, first_edition_en, first_edition_en_draft, first_edition_zh, first_editions
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError
from d2lrnn.weights import canonical

EDITIONS = ("zh", "en", "en_draft")
SONG = "我想\r\n分开\n"
MAC = "__MACOSX/._song_txt"  # what macOS packs beside each file
LYRICS = DATA_HUB["jaychou_lyrics"]
LINE = re.compile(r"epoch (\d+), perplexity (\d+\.\d{6}), time (\d+\.\d{2}) sec")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """Nobody has the lyrics here, and no test asks the book's server for them."""
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", ("http://127.0.0.1:1/jaychou_lyrics.txt.zip", "0" * 40))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path_factory.mktemp("cache"))


@pytest.fixture(params=EDITIONS)
def edition(request, backend):
    return load_edition(backend, request.param)


@pytest.fixture(params=EDITIONS[:2])
def with_tables(request, backend):
    """An edition whose vocabulary is two tables."""
    return load_edition(backend, request.param)


@pytest.fixture(params=EDITIONS[1:])
def english(request, backend):
    """An edition of The Time Machine."""
    return load_edition(backend, request.param)


@pytest.fixture
def zh(backend):
    return load_edition(backend, "zh")


@pytest.fixture
def en(backend):
    return load_edition(backend, "en")


@pytest.fixture
def draft(backend):
    return load_edition(backend, "en_draft")


def tensor(backend, array):
    """Return an array as what the editions' functions take: in MXNet an array without NumPy's semantics."""
    if backend.name == "mxnet":
        return backend.framework.nd.array(array, dtype=np.asarray(array).dtype)
    return backend.tensor(array)


def concise(backend, edition, kind, vocab_size, num_hiddens):
    """Return an edition's model over the framework's layer, ready to use."""
    model = edition.RNNModel(backend.d2l.recurrent_layer(kind, vocab_size, num_hiddens), vocab_size)
    if backend.name == "mxnet":
        model.initialize()
    return model


def zipped(**files):
    """Return the bytes of a zip archive; a name's last underscore stands for the dot."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(".".join(name.rsplit("_", 1)), content)
    return memory.getvalue()


def test_a_reader_sees_the_source_of_what_runs(edition):
    for name in set(edition.__all__) - {"RNNModel"}:
        function = getattr(edition, name)
        assert f"def {function.__name__}(" in inspect.getsource(function)


# Song lyrics


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("song.txt", SONG.encode(), id="txt"),
        pytest.param("song.txt", b"\xef\xbb\xbf" + SONG.encode(), id="txt-with-bom"),
        pytest.param("song.zip", zipped(song_txt=SONG), id="zip"),
        pytest.param("SONG.TXT.ZIP", zipped(SONG_TXT=SONG, cover_jpg="picture"), id="zip-with-more-than-the-text"),
        pytest.param("song.zip", zipped(**{"song_txt": SONG, MAC: "notes"}), id="zip-made-on-a-mac"),
    ],
)
def test_a_readers_own_text_is_read_as_the_edition_reads_the_lyrics(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    expected = ([0, 1, 2, 2, 3, 4, 2], {"我": 0, "想": 1, " ": 2, "分": 3, "开": 4}, ["我", "想", " ", "分", "开"], 5)
    assert first_edition_zh.load_data_jay_lyrics(tmp_path / name) == expected
    assert first_edition_zh.load_data_jay_lyrics(str(tmp_path / name)) == expected


def test_the_first_ten_thousand_characters_are_the_text_and_the_vocabulary(tmp_path):
    (tmp_path / "long.txt").write_text("Ab,\n" * 2500 + "later", encoding="utf-8")
    corpus, char_to_idx, idx_to_char, vocab_size = first_edition_zh.load_data_jay_lyrics(tmp_path / "long.txt")
    assert len(corpus) == 10_000
    assert (char_to_idx, idx_to_char, vocab_size) == ({"A": 0, "b": 1, ",": 2, " ": 3}, ["A", "b", ",", " "], 4)


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        pytest.param("no.txt", None, InputFileError, "no corpus or file called .*no.txt", id="missing-txt"),
        pytest.param("no.zip", None, InputFileError, "cannot read .*no.zip.*: No such file", id="missing-zip"),
        pytest.param("a.zip", SONG.encode(), InputError, "cannot unpack .*a.zip.*not a zip file; give", id="no-zip"),
        pytest.param("a.zip", zipped(a_mp3="x"), InputError, "must hold one text, .*holds none: unpack", id="no-text"),
        pytest.param("a.zip", zipped(a_txt="x", b_txt="y"), InputError, r"holds 2 \(a.txt, b.txt\)", id="two-texts"),
        pytest.param("a.zip", zipped(a_txt=SONG)[:-30], InputError, "cannot unpack", id="broken-off"),
        pytest.param("a.zip", zipped(a_txt=b"\xd6l"), InputError, "'a.txt' in .* is not UTF-8", id="zip-not-utf-8"),
        pytest.param("a.zip", zipped(a_txt=" \n"), InputError, "'a.txt' in .* is empty", id="zip-of-an-empty-text"),
        pytest.param("a.txt", "分开".encode("gbk"), InputError, "is not UTF-8 .byte 0xb7 at position 0", id="gbk"),
    ],
)
def test_a_text_that_cannot_be_read_is_an_error(tmp_path, name, content, error, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=match):
        first_edition_zh.load_data_jay_lyrics(tmp_path / name)


def test_a_damaged_member_of_an_archive_is_an_error(tmp_path):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:  # stored as it is, so that its letters can be found
        archive.writestr("a.txt", "one two three")
    (tmp_path / "a.zip").write_bytes(memory.getvalue().replace(b"one two", b"two one"))
    with pytest.raises(InputError, match="cannot unpack .*CRC.*give a zip archive that is whole"):
        read_text(tmp_path / "a.zip")


def test_an_archive_with_a_password_is_an_error(tmp_path):
    content = bytearray(zipped(a_txt=SONG))
    content[6] |= 1  # the flag of encryption, in the member's header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="cannot unpack .*password"):
        read_text(tmp_path / "a.zip")


@pytest.mark.parametrize("version", ["the server's", "another"])
def test_the_lyrics_may_be_any_of_the_books_files(monkeypatch, tmp_path, version):
    content = zipped(jaychou_lyrics_txt=SONG, **{MAC: "notes"})
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(content)
    sha1 = hashlib.sha1(content).hexdigest()
    if version == "another":
        monkeypatch.setitem(downloads._OTHER_VERSIONS, "jaychou_lyrics", ("1" * 40, sha1))
    else:
        monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", (DATA_HUB["jaychou_lyrics"][0], sha1))
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    corpus, _, idx_to_char, _ = first_edition_zh.load_data_jay_lyrics()
    assert "".join(idx_to_char[idx] for idx in corpus) == "我想  分开 "
    assert read_text("lyrics").name == "lyrics"


def test_the_lyrics_are_no_other_file(monkeypatch, tmp_path):
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(zipped(jaychou_lyrics_txt=SONG))
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    with pytest.warns(D2LRNNWarning, match="bundled verses stand in: .*is not the expected file"):
        assert len(first_edition_zh.load_data_jay_lyrics()[0]) > 4000


def test_the_lyrics_of_the_first_editions_repositories_are_known():
    assert downloads._OTHER_VERSIONS["jaychou_lyrics"] == ("9529987e701a4f37048ab778270a5dde9a762a0b",)


def test_the_verses_stand_in_for_lyrics_that_cannot_be_had():
    with pytest.warns(D2LRNNWarning, match="the bundled verses stands? in: cannot download .*cannot be reached"):
        corpus, char_to_idx, idx_to_char, vocab_size = first_edition_zh.load_data_jay_lyrics()
    assert (corpus, char_to_idx, idx_to_char, vocab_size) == first_edition_zh.load_data_jay_lyrics("verses")
    assert "".join(idx_to_char[idx] for idx in corpus) == read_text("verses").content.replace("\n", " ")
    assert len(corpus) > 4000
    assert set("分开不 ") <= set(char_to_idx)
    assert vocab_size == len(idx_to_char) == len(char_to_idx) == max(corpus) + 1


# The Time Machine with its punctuation


def test_the_english_edition_reads_ten_thousand_characters_and_keeps_white_space():
    corpus, char_to_idx, idx_to_char, vocab_size = first_edition_en.load_data_time_machine()
    text = "".join(idx_to_char[idx] for idx in corpus)
    assert text == read_text("time-machine").content.lower().replace("\n", " ")[:10_000]
    assert isinstance(corpus, list)
    assert char_to_idx == {char: idx for idx, char in enumerate(idx_to_char)}
    assert set(idx_to_char) == set(text) >= {",", ".", " "}
    assert vocab_size == len(idx_to_char)


def test_every_kind_of_line_break_is_one_space_in_the_english_edition(monkeypatch, tmp_path):
    (tmp_path / "lines.txt").write_bytes(b"The\r\nTime\n\nMachine\rI")
    text = read_text(tmp_path / "lines.txt")
    monkeypatch.setattr(first_edition_en, "read_text", lambda source: text)
    corpus, _, idx_to_char, _ = first_edition_en.load_data_time_machine()
    assert "".join(idx_to_char[idx] for idx in corpus) == "the time  machine i"


def test_the_draft_keeps_punctuation_and_single_spaces():
    corpus, vocab = first_edition_en_draft.load_data_time_machine()
    text = "".join(vocab.to_tokens(corpus))
    assert text == " ".join(read_text("time-machine").content.lower().split())[:10_000]
    assert isinstance(corpus, list)
    assert set(vocab.idx_to_token[1:]) == set(text)
    assert {",", "."} <= set(text)
    assert "  " not in text


@pytest.mark.parametrize(("loss", "expected"), [(0.0, 1.0), (1e3, math.inf), (math.nan, math.nan)])
def test_every_line_is_a_step_forward_for_who_watches(loss, expected):
    """Also one whose perplexity is too large for a number."""
    events = []
    with contextlib.redirect_stdout(reproduce_worker._Lines(lambda event, **content: events.append((event, content)))):
        report = first_editions.Report(2, 4, ["a"], lambda prefix: "epoch of ours")
        for number in range(1, 5):
            report(number, Epoch(np.array([loss]), [1], 1.0, np.ones(1)))
    assert [(event, content["epoch"]) for event, content in events] == [("epoch", 2), ("epoch", 4)]
    np.testing.assert_array_equal([content["perplexity"] for _, content in events], expected)


def test_the_real_time_machine_begins_as_in_the_edition(real_time_machine):
    corpus, vocab = first_edition_en_draft.load_data_time_machine(53)
    assert "".join(vocab.to_tokens(corpus)) == "the time machine, by h. g. wells [1898] i the time tr"
    corpus, _, idx_to_char, vocab_size = first_edition_en.load_data_time_machine()
    assert "".join(idx_to_char[idx] for idx in corpus[:36]) == "the time machine, by h. g. wells [18"
    assert (len(corpus), vocab_size) == (10_000, 43)


def test_a_number_of_characters_is_positive():
    with pytest.raises(InputError, match="num_examples must be a whole number of at least 1, not 0"):
        first_edition_en_draft.load_data_time_machine(0)


# Minibatches


def arrays(backend, minibatches):
    return [tuple(backend.numpy(tensor).tolist() for tensor in minibatch) for minibatch in minibatches]


def row(start):
    return list(range(start, start + 6))


def test_consecutive_minibatches_of_the_chinese_edition(backend, zh):
    minibatches = zh.data_iter_consecutive(list(range(30)), 2, 6, backend.d2l.cpu())
    # Two rows of 15: the labels of a third minibatch would be over their ends
    assert arrays(backend, minibatches) == [
        ([row(0), row(15)], [row(1), row(16)]),
        ([row(6), row(21)], [row(7), row(22)]),
    ]


def test_random_minibatches_of_the_chinese_edition(backend, zh):
    minibatches = arrays(backend, zh.data_iter_random(list(range(30)), batch_size=2, num_steps=6, seed=1))
    assert len(minibatches) == 2
    rows = [pair for X, Y in minibatches for pair in zip(X, Y, strict=True)]
    assert sorted(rows) == [(row(i), row(i + 1)) for i in (0, 6, 12, 18)]
    orders = {str(arrays(backend, zh.data_iter_random(range(30), 2, 6, seed=seed))) for seed in range(8)}
    assert len(orders) > 1


def test_consecutive_minibatches_of_the_english_editions(backend, english):
    seen = set()
    for seed in range(40):
        minibatches = arrays(backend, english.data_iter_consecutive(range(30), 2, 6, seed=seed))
        offset = minibatches[0][0][0][0]
        second = offset + (30 - offset) // 2
        assert minibatches[0] == ([row(offset), row(second)], [row(offset + 1), row(second + 1)])
        assert len(minibatches) == 2 if offset < 5 else 1
        seen.add(offset)
    assert seen == set(range(6))


def test_random_minibatches_of_the_english_editions(backend, english):
    seen = set()
    for seed in range(40):
        minibatches = arrays(backend, english.data_iter_random(range(30), 2, 6, seed=seed))
        rows = sorted(pair for X, Y in minibatches for pair in zip(X, Y, strict=True))
        assert len(rows) == 4
        seen.add(offset := rows[0][0][0])
        assert rows == [(row(i), row(i + 1)) for i in range(offset, offset + 24, 6)]
    assert seen == set(range(6))


def test_minibatches_are_the_frameworks_whole_numbers(backend, edition):
    for data_iter in (edition.data_iter_random, edition.data_iter_consecutive):
        X, _ = next(data_iter(tensor(backend, np.arange(30)), 2, 6))
        assert type(X).__module__.split(".")[0] == backend.name
        if backend.name == "mxnet":
            assert type(X) is backend.framework.nd.NDArray
        assert backend.numpy(X).dtype.kind == "i"


# The shortest corpus: at a random offset of 5, the largest, and one character more than the inputs for the labels
SHORTEST = [
    ("zh", "data_iter_random", 13),
    ("zh", "data_iter_consecutive", 14),
    ("en", "data_iter_random", 18),
    ("en", "data_iter_consecutive", 19),
]


@pytest.mark.parametrize(("which", "name", "needed"), SHORTEST)
def test_a_corpus_too_short_for_a_minibatch_is_an_error_at_once(backend, which, name, needed):
    data_iter = getattr(load_edition(backend, which), name)
    for _ in range(20):
        assert len(list(data_iter(range(needed), 2, 6))) == 1
    with pytest.raises(InputError, match=f"{needed - 1} characters is too short.*need at least {needed}"):
        data_iter(range(needed - 1), 2, 6)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("data_iter", [first_editions.iter_random, first_editions.iter_consecutive])
def test_a_corpus_is_one_sequence_and_a_size_positive(data_iter, shift):
    with pytest.raises(InputError, match="one sequence of indices, not an array of shape"):
        data_iter([[1, 2], [3, 4]], 1, 1, shift=shift)
    with pytest.raises(InputError, match="num_steps must be a whole number of at least 1, not 0"):
        data_iter(range(30), 2, 0, shift=shift)


# Clipping


def gradients_of_3_and_4(backend):
    """Return what grad_clipping takes, and a function that returns the gradients afterwards."""
    if backend.name == "tensorflow":
        return [tensor(backend, np.float32(3)), None, tensor(backend, np.float32(4))], lambda clipped: clipped
    if backend.name == "numpy":
        grads = [np.float64([3]), None, np.float64([4])]
        return grads, lambda norm: grads
    params = [tensor(backend, np.ones(1, np.float32)) for _ in range(2)]
    if backend.name == "torch":
        params = [param.requires_grad_() for param in params]
        (3 * params[0] + 4 * params[1]).backward()
        spare = tensor(backend, np.ones(1, np.float32))
    else:
        for param in params:
            param.attach_grad()
        with backend.framework.autograd.record():
            loss = 3 * params[0] + 4 * params[1]
        loss.backward()
        spare = tensor(backend, np.ones(1, np.float32))
    return [params[0], spare, params[1]], lambda norm: [param.grad for param in params]


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        pytest.param(1, [0.6, 0.8], id="clipped"),
        pytest.param(5.5, [3, 4], id="below-the-radius"),
        pytest.param(None, [3, 4], id="no-clipping"),
    ],
)
def test_gradients_of_3_and_4_have_a_norm_of_5(backend, edition, theta, expected):
    given, read = gradients_of_3_and_4(backend)
    result = edition.grad_clipping(given, theta, backend.d2l.cpu())
    grads = [backend.numpy(grad).item() for grad in read(result) if grad is not None]
    np.testing.assert_allclose(grads, expected, rtol=1e-6)
    if backend.name != "tensorflow":
        np.testing.assert_allclose(backend.numpy(result), 5, rtol=1e-6)


def test_a_models_gradients_are_clipped_to_the_radius(backend, draft):
    net = concise(backend, draft, "rnn", 5, 4)
    X, state = tensor(backend, np.zeros((2, 3), np.int32)), backend.begin_state(net, 2)
    if backend.name == "torch":
        net(X, state)[0].sum().backward()
        given, read = net, lambda: [param.grad for param in net.parameters()]
    elif backend.name == "mxnet":
        with backend.framework.autograd.record():
            total = net(X, state)[0].sum()
        total.backward()
        given, read = net, lambda: [param.grad() for param in net.collect_params().values()]
    elif backend.name == "numpy":
        net.backward(np.ones_like(net(X, state)[0]))
        given, read = net, lambda: net.grads
    else:
        tf = backend.framework
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(net(X, state)[0])
        given, read = tape.gradient(total, net.trainable_variables), None
    norm = lambda grads: sum(float((backend.numpy(grad) ** 2).sum()) for grad in grads) ** 0.5  # noqa: E731
    assert norm(read() if read else given) > 1
    clipped = draft.grad_clipping_gluon(given, 0.25, backend.d2l.cpu())
    np.testing.assert_allclose(norm(read() if read else clipped), 0.25, rtol=1e-5)


# Training and predicting

SENTENCE = "分开 不分开 我们 "


def small(backend, edition, num_hiddens=12, sentences=20):
    """Return a small model, and how to train it and to let it continue a prefix."""
    ctx, text = backend.d2l.cpu(), SENTENCE * sentences
    tables = not edition.__name__.endswith("draft")
    if tables:
        idx_to_char = list(dict.fromkeys(text))
        char_to_idx = {char: idx for idx, char in enumerate(idx_to_char)}
        corpus, size = [char_to_idx[char] for char in text], len(idx_to_char)
    else:
        vocab = backend.d2l.Vocab(text)
        corpus, size = vocab[list(text)], len(vocab)
    model = edition.RNNModel(backend.d2l.recurrent_layer("rnn", size, num_hiddens), size)

    def train(num_epochs, lr=2.0, theta=1.0, prefixes=("分开", "不分开"), pred_period=10, pred_len=9, **options):
        if tables:
            return edition.train_and_predict_rnn_gluon(
                model, num_hiddens, size, ctx, corpus, idx_to_char, char_to_idx,
                num_epochs, 5, lr, theta, 4, pred_period, pred_len, prefixes, **options)  # fmt: skip
        return edition.train_and_predict_rnn_gluon(
            model, num_hiddens, corpus, vocab, ctx, num_epochs, 5, lr, theta, 4, prefixes, **options)  # fmt: skip

    def predict(prefix, num_chars):
        if tables:
            return edition.predict_rnn_gluon(prefix, num_chars, model, size, ctx, idx_to_char, char_to_idx)
        return edition.predict_rnn_gluon(prefix, num_chars, model, vocab, ctx)

    return model, train, predict


def test_an_edition_prints_every_pred_period_epochs_a_line_and_the_texts(backend, with_tables, capsys):
    _, train, _ = small(backend, with_tables)
    history = train(25, seed=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    for period in (0, 1):
        line, *texts = lines[3 * period : 3 * period + 3]
        number, perplexity, _ = LINE.fullmatch(line).groups()
        assert int(number) == 10 * (period + 1)
        assert perplexity == f"{history.perplexity[int(number) - 1]:f}"
        assert [re.fullmatch(r" - (分开|不分开).{9}", text) is not None for text in texts] == [True, True]
    assert len(history.perplexity) == 25
    assert history.perplexity[-1] < history.perplexity[0] / 2


def test_the_draft_prints_every_50_epochs_a_line_and_every_100_the_texts(backend, draft, capsys):
    _, train, _ = small(backend, draft, sentences=8)
    history = train(100, lr=0.5, seed=1)
    first, second, *texts = capsys.readouterr().out.splitlines()
    for number, line in ((50, first), (100, second)):
        assert LINE.fullmatch(line).group(1, 2) == (str(number), f"{history.perplexity[number - 1]:f}")
    assert len(texts) == 2
    assert all(re.fullmatch(r" - (分开|不分开).{50}", text) for text in texts)
    assert history.perplexity[-1] < history.perplexity[0] / 2


@pytest.mark.parametrize(("which", "seconds"), [("zh", "0.10"), ("en", "0.10"), ("en_draft", "5.00")])
def test_an_edition_prints_the_time_of_an_epoch_and_the_draft_that_of_50(backend, which, seconds, monkeypatch, capsys):
    monkeypatch.setattr(f"d2lrnn.{backend.name}.training.Timer.stop", lambda timer: 0.1)
    small(backend, load_edition(backend, which), 2, sentences=4)[1](50, pred_period=50, prefixes=(), seed=1)
    (line,) = capsys.readouterr().out.splitlines()
    assert LINE.fullmatch(line).group(1, 3) == ("50", seconds)


def test_a_trained_model_continues_the_sentence_it_was_trained_on(backend, edition, capsys):
    _, train, predict = small(backend, edition, 24)
    assert train(60, seed=1).perplexity[-1] < 1.5
    assert predict("分开 不分开", 4) == SENTENCE
    assert predict(SENTENCE, 0) == SENTENCE
    assert len(predict("", 5)) == 5


def weights(backend, model):
    return backend.interface.get_weights(model)


@pytest.mark.parametrize("times", [1, 2])
def test_training_begins_anew_from_the_editions_weights_the_same_in_every_backend(backend, edition, times):
    model, train, _ = small(backend, edition, 4)
    for _ in range(times):
        train(1, lr=1e-30, seed=7)
    size = model.vocab_size
    rng = np.random.default_rng(7)
    expected = dict.fromkeys(canonical.shapes("rnn", size, 4), np.float64(0))  # biases stay zeros
    for name, shape in (("W_xh", (4, size)), ("W_hh", (4, 4)), ("W_hq", (size, 4))):
        key = next(key for key in expected if key.endswith(name))
        expected[key] = rng.normal(0, 0.01, shape).T
    actual = weights(backend, model)
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        np.testing.assert_allclose(
            value, np.broadcast_to(expected[name], value.shape), rtol=1e-6, atol=1e-20, err_msg=name
        )


def test_the_same_seed_trains_the_same_and_another_one_does_not(backend, edition):
    _, train, _ = small(backend, edition)
    first, again, other = (train(3, seed=seed).perplexity for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_radius_reaches_the_training(backend, edition):
    _, train, _ = small(backend, edition)
    perplexities = [train(5, lr=0.5, theta=theta, seed=1).perplexity[-1] for theta in (1e-3, 0.1, None)]
    assert perplexities[0] > perplexities[1] + 0.1
    assert perplexities[1] > perplexities[2] + 0.1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"num_epochs": 0}, "num_epochs must be a whole number of at least 1", id="no-epochs"),
        pytest.param({"num_epochs": 1, "lr": -1}, "lr must be a positive finite number", id="lr"),
        pytest.param({"num_epochs": 1, "theta": 0}, "theta must be a positive finite number", id="theta"),
    ],
)
def test_an_argument_that_cannot_be_used_is_an_error_before_the_weights_are_lost(backend, edition, options, match):
    model, train, _ = small(backend, edition)
    train(1)
    before = weights(backend, model)
    with pytest.raises(InputError, match=match):
        train(**options)
    for name, value in weights(backend, model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"pred_period": 0}, "pred_period must be", id="pred_period"),
        pytest.param({"pred_len": 0}, "pred_len must be", id="pred_len"),
        pytest.param({"prefixes": ["分开", "离开"]}, "prefix '离开' has .* lacks: '离'", id="prefix"),
    ],
)
def test_what_an_edition_is_to_print_is_checked_before_the_training(backend, with_tables, options, match, capsys):
    _, train, _ = small(backend, with_tables)
    with pytest.raises(InputError, match=match):
        train(20, **options)
    assert capsys.readouterr().out == ""


def test_a_character_that_the_text_lacks(backend, with_tables):
    _, train, predict = small(backend, with_tables)
    train(1)
    with pytest.raises(InputError, match="prefix '离别开' has characters that the text lacks: '离别'; choose"):
        predict("离别开", 3)


def test_a_character_that_the_text_of_the_draft_lacks(backend, draft):
    _, train, predict = small(backend, draft)
    train(1)
    assert predict("离开", 0) == "<unk>开"


def test_a_prefix_is_read_as_the_chinese_editions_text(backend, zh):
    _, train, predict = small(backend, zh)
    train(1, prefixes=["分开\n不分开"], seed=1)
    assert predict("分开\r不", 0) == "分开 不"


def test_a_prefix_is_read_as_the_english_editions_text(backend, en):
    _, char_to_idx, idx_to_char, vocab_size = en.load_data_time_machine()
    model = concise(backend, en, "rnn", vocab_size, 4)
    args = (model, vocab_size, backend.d2l.cpu(), idx_to_char, char_to_idx)
    assert en.predict_rnn_gluon("The  Time\nTraveller, ", 0, *args) == "the  time traveller, "


def test_a_prefix_is_read_as_the_drafts_text(backend, draft):
    _, vocab = draft.load_data_time_machine()
    model = concise(backend, draft, "rnn", len(vocab), 4)
    read = draft.predict_rnn_gluon("The  Time\nTraveller, ", 0, model, vocab, backend.d2l.cpu())
    assert read == "the time traveller, "


def test_a_vocabulary_whose_parts_do_not_belong_together_is_an_error(backend, with_tables):
    model = concise(backend, with_tables, "rnn", 2, 3)
    with pytest.raises(InputError, match="vocab_size is 3, but idx_to_char has 2 .* char_to_idx has 1"):
        with_tables.predict_rnn_gluon("分", 3, model, 3, backend.d2l.cpu(), ["分", "开"], {"分": 0})


def test_a_vocabulary_without_a_space_continues_an_empty_prefix_too():
    vocab = characters.characters("分开", {"分": 0, "开": 1}, 2, Preparation(clean="none"))
    assert characters.predict("", vocab, lambda prefix: prefix + "开开") == "开开"


@pytest.mark.only("tensorflow")
def test_tensorflows_device_may_be_named_in_any_form(backend, zh):
    tf = backend.framework
    forms = ["/CPU:0", "cpu", tf.device("/CPU:0"), tf.distribute.OneDeviceStrategy("/CPU:0"), zh.try_gpu()]
    for ctx in forms:
        X, _ = next(zh.data_iter_consecutive(range(30), 2, 6, ctx))
        assert X.device.endswith("CPU:0") or ctx is forms[-1]
    X, _ = next(zh.data_iter_consecutive(range(30), 2, 6))
    assert tuple(X.shape) == (2, 6)


# The printed lines


@pytest.mark.parametrize(("total_time", "seconds"), [(False, "0.20"), (True, "0.30")])
def test_the_time_is_that_of_the_last_epoch_or_of_all_since_the_last_line(capsys, total_time, seconds):
    report = first_editions.Report(2, 4, ["a", "b"], lambda prefix: prefix + "!", total_time=total_time)
    for number in range(1, 6):
        report(number, Epoch(np.log([79.496973]), [1], 0.1 * (2 - number % 2), np.ones(1)))
    assert capsys.readouterr().out.splitlines() == [
        f"epoch 2, perplexity 79.496973, time {seconds} sec",
        f"epoch 4, perplexity 79.496973, time {seconds} sec",
        " - a!",
        " - b!",
    ]


def test_the_lyrics_are_a_corpus_like_any_other():
    assert CORPORA["lyrics"].prefixes == ("分开", "不分开")
    assert LYRICS == (DATA_URL + "jaychou_lyrics.txt.zip", "aea46bd5d5fb2f05d6cd38d8e6b461d679fa4f00")
    with pytest.warns(D2LRNNWarning, match="the bundled verses"):
        train_iter, _ = load_data("lyrics", 2, 35)
    assert next(iter(train_iter))[0].shape == (2, 35)
