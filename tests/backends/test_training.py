"""Training and prediction in each backend, as a reader uses them."""

import importlib
import io
import re

import numpy as np
import pytest

from d2lrnn import data
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.core.history import History
from d2lrnn.errors import DivergenceError, InputError


@pytest.fixture
def load(backend):
    def load(use_random_iter=False, **options):
        return backend.d2l.load_data("story", 16, 20, use_random_iter, 3000, seed=0, **options)

    return load


@pytest.fixture(params=["rnn-scratch", "lstm"])
def net(backend, request):
    return backend.interface.build_model(request.param, 28, 32, device="cpu", seed=0)[0]


def weights_of(backend, net):
    return backend.interface.get_weights(net)


def test_training_returns_the_history_and_learns(backend, net, load):
    train_iter, vocab = load()
    history = backend.train(net, train_iter, vocab, 1, 15)
    assert isinstance(history, History)
    assert history.epoch == list(range(1, 16))
    assert history.perplexity[-1] < 0.8 * history.perplexity[0] < 28
    assert all(speed > 0 for speed in history.tokens_per_second)


def test_training_prints_the_books_last_lines_and_nothing_else(backend, net, load, capsys):
    train_iter, vocab = load()
    backend.train(net, train_iter, vocab, 1, 2, quiet=False)
    out, err = capsys.readouterr()
    perplexity, first, second = out.splitlines()
    assert re.fullmatch(r"perplexity \d+\.\d, \d+\.\d tokens/sec on (cpu|cpu\(0\)|/CPU:0)", perplexity)
    assert first.startswith("time traveller")
    assert len(first) == len("time traveller") + 50
    assert second.startswith("traveller")
    assert err == ""


def test_training_with_random_sampling(backend, net, load):
    train_iter, vocab = load(use_random_iter=True)
    history = backend.train(net, train_iter, vocab, 1, 15, True)
    assert history.perplexity[-1] < 0.8 * history.perplexity[0]


def test_training_is_the_same_with_the_same_seed(backend, load):
    results = []
    for _ in range(2):
        train_iter, vocab = load()
        net, _ = backend.interface.build_model("rnn-scratch", len(vocab), 32, device="cpu", seed=0)
        results.append(backend.train(net, train_iter, vocab, 1, 3).perplexity)
    assert results[0] == results[1]


def test_a_held_out_tail_is_evaluated_every_epoch(backend, net, load):
    train_iter, vocab = load(valid_fraction=0.2)
    history = backend.train(net, train_iter, vocab, 1, 3, valid_iter=train_iter.valid_iter)
    assert len(history.valid_perplexity) == 3
    expected = held_out_perplexity(backend, net, train_iter.valid_iter)
    assert history.valid_perplexity[-1] == pytest.approx(expected, rel=1e-5)


def held_out_perplexity(backend, net, valid_iter):
    """Compute it the long way: the state is carried over, and every token counts the same."""
    state, losses = None, []
    for X, Y in valid_iter:
        logits, state = backend.interface.forward(net, backend.numpy(X), state)
        logits = logits.astype(np.float64)
        y = backend.numpy(Y).T.reshape(-1)
        losses.append(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y])
    return np.exp(np.mean(losses))


def test_the_radius_of_clipping_is_used(backend, load):
    train_iter, vocab = load()
    net, _ = backend.interface.build_model("rnn", len(vocab), 32, device="cpu", seed=0)
    before = weights_of(backend, net)
    backend.train(net, train_iter, vocab, 1, 1, theta=1e-3)
    after = weights_of(backend, net)
    moved = np.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))
    minibatches = train_iter.tokens_per_epoch // (16 * 20)
    assert 0 < moved <= 1.01e-3 * minibatches


def test_an_epoch_by_hand(backend, load):
    """A reader's own loop calls train_epoch_ch8 with the framework's loss and updater."""
    train_iter, vocab = load()
    net = backend.scratch(len(vocab), 32, seed=0)
    d2l, framework = backend.d2l, backend.framework
    if backend.name == "tensorflow":
        loss = framework.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        args = (loss, framework.keras.optimizers.SGD(1.0))
    elif backend.name == "mxnet":
        args = (framework.gluon.loss.SoftmaxCrossEntropyLoss(), lambda batch_size: d2l.sgd(net.params, 1, batch_size))
    elif backend.name == "torch":
        args = (framework.nn.CrossEntropyLoss(), lambda batch_size: d2l.sgd(net.params, 1, batch_size))
    else:
        loss = importlib.import_module("d2lrnn.numpy.nn").CrossEntropyLoss()
        args = (loss, lambda batch_size: d2l.sgd(net.params, net.grads, 1, batch_size))
    first, speed = d2l.train_epoch_ch8(net, train_iter, *args, *backend.place, False)
    second, _ = d2l.train_epoch_ch8(net, train_iter, *args, *backend.place, False)
    assert second < first < 28
    assert speed > 0


@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_a_loss_that_diverges_stops_and_keeps_the_last_good_weights(backend, load, kind):
    train_iter, vocab = load()
    net, _ = backend.interface.build_model(kind, len(vocab), 32, device="cpu", seed=0)
    after_epoch = {}

    def callback(number, epoch):
        after_epoch[number] = weights_of(backend, net)
        if number == 2:  # poison one weight: the next epoch's loss is NaN from its first step
            poisoned = {name: value.copy() for name, value in after_epoch[2].items()}
            poisoned["output.b_q"][0] = np.inf
            backend.interface.set_weights(net, poisoned)

    with pytest.raises(DivergenceError, match="epoch 3, step 1") as caught:
        backend.train(net, train_iter, vocab, 1, 5, callback=callback)
    assert (caught.value.epoch, caught.value.step) == (3, 1)
    assert caught.value.history.epoch == [1, 2]


@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_a_learning_rate_that_is_far_too_large(backend, load, kind):
    train_iter, vocab = load()
    net, _ = backend.interface.build_model(kind, len(vocab), 32, device="cpu", seed=0)
    before = weights_of(backend, net)
    with pytest.raises(DivergenceError, match="epoch 1, step .* smaller learning rate"):
        backend.train(net, train_iter, vocab, 1e38, 5)
    for name, value in weights_of(backend, net).items():
        np.testing.assert_array_equal(value, before[name])


# Finite all the way, and absurd from the first epoch on: an 84-digit perplexity, or one that no float holds
@pytest.mark.parametrize(("kind", "lr"), [("rnn-scratch", 100), ("lstm", 1e6)])
def test_a_loss_that_is_finite_and_absurd_has_diverged(backend, load, kind, lr):
    train_iter, vocab = load()
    net, _ = backend.interface.build_model(kind, len(vocab), 32, device="cpu", seed=0)
    history = backend.train(net, train_iter, vocab, 1, 2)
    good = weights_of(backend, net)
    epochs = []
    with pytest.raises(DivergenceError, match="nats a token, where guessing has 3.3, at epoch 3, step") as caught:
        backend.train(net, train_iter, vocab, lr, 5, history=history, callback=lambda _, epoch: epochs.append(epoch))
    assert caught.value.history.epoch == [1, 2]
    assert all(epoch.absurd for epoch in epochs)
    for name, value in weights_of(backend, net).items():
        np.testing.assert_array_equal(value, good[name])


@pytest.mark.parametrize(
    ("lr", "num_epochs", "message"),
    [
        (0, 1, "lr must be a positive finite number, not 0"),
        (-1, 1, "lr must be a positive finite number, not -1"),
        (float("nan"), 1, "lr must be a positive finite number, not nan"),
        (1, 0, "num_epochs must be a whole number of at least 1, not 0"),
        (1, 1.5, "num_epochs must be a whole number of at least 1, not 1.5"),
    ],
)
def test_numbers_that_cannot_be_used(backend, load, lr, num_epochs, message):
    train_iter, vocab = load()
    net = backend.scratch(len(vocab), 8)
    with pytest.raises(InputError, match=message):
        backend.train(net, train_iter, vocab, lr, num_epochs)


def test_clipping_returns_the_norm_and_projects(backend):
    """The gradient of the sum of a parameter's elements times 3 is 3 everywhere."""
    if backend.name == "tensorflow":
        grads = [backend.tensor(np.full((2, 2), 3.0, np.float32)), None]
        clipped = backend.d2l.grad_clipping(grads, 1.0)
        assert clipped[1] is None
        np.testing.assert_allclose(clipped[0], np.full((2, 2), 0.5), rtol=1e-6)
        return
    net = backend.scratch(2, 2)
    if backend.name == "numpy":
        net.grads[1] = np.full((2, 2), 3.0)
        assert backend.d2l.grad_clipping(net, 1.0) == pytest.approx(6.0)
        np.testing.assert_allclose(net.grads[1], np.full((2, 2), 0.5), rtol=1e-12)
        return
    W = net.params[1]  # (2, 2)
    if backend.name == "mxnet":
        with backend.framework.autograd.record():
            loss = (3 * W).sum()
    else:
        loss = (3 * W).sum()
    loss.backward()
    norm = backend.d2l.grad_clipping(net, 1.0)
    assert float(norm) == pytest.approx(6.0)
    np.testing.assert_allclose(backend.numpy(W.grad), np.full((2, 2), 0.5), rtol=1e-6)


def test_greedy_prediction_follows_the_most_probable_token(backend, net):
    _, vocab = data.load_corpus("story")
    text = backend.predict("time traveller", 5, net, vocab)
    logits, state = backend.interface.forward(net, [vocab.encode("time traveller")])
    expected = "time traveller"
    for _ in range(5):
        index = int(logits[-1].argmax())
        expected += vocab.to_tokens(index)
        logits, state = backend.interface.forward(net, [[index]], state)
    assert text == expected


def test_prediction_samples_with_a_seed(backend, net):
    _, vocab = data.load_corpus("story")
    draws = [backend.predict("t", 40, net, vocab, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert backend.predict("t", 40, net, vocab, top_k=1, seed=3) == backend.predict("t", 40, net, vocab)


def test_prediction_of_words(backend):
    _corpus, vocab = data.load_corpus("story", token="word")
    net, _ = backend.interface.build_model("gru", len(vocab), 8, device="cpu", seed=0)
    text = backend.predict(["time", "traveller"], 4, net, vocab)
    assert text.startswith("time traveller ")
    assert len(text.split(" ")) == 6


def test_a_string_for_a_model_of_words_is_parted_as_its_text_was(backend, capsys):
    train_iter, vocab = backend.d2l.load_data("story", 2, 5, token="word", max_tokens=60)
    net, _ = backend.interface.build_model("gru", len(vocab), 8, device="cpu", seed=0)
    text = backend.predict("The TIME, traveller", 4, net, vocab)
    assert text.startswith("the time traveller ")
    assert len(text.split(" ")) == 7
    assert text == backend.predict(["the", "time", "traveller"], 4, net, vocab)
    backend.train(net, train_iter, vocab, 0.1, 1, quiet=False)
    lines = capsys.readouterr().out.splitlines()[-2:]  # of the book's prefixes, which are the default
    assert [line.split(" ")[:2] for line in lines] == [["time", "traveller"], ["traveller", lines[1].split(" ")[1]]]
    assert [len(line.split(" ")) for line in lines] == [52, 51]


def test_a_prefix_is_read_as_the_text_was(backend, net, capsys):
    train_iter, vocab = backend.d2l.load_data("story", 2, 5, max_tokens=100)
    expected = backend.predict("it was ", 5, net, vocab)
    assert expected.startswith("it was ")
    assert backend.predict("It WAS, ", 5, net, vocab) == expected
    backend.train(net, train_iter, vocab, 0.1, 1, prefixes=["It was"], quiet=False)
    assert capsys.readouterr().out.splitlines()[-1].startswith("it was")


def test_a_vocabulary_reads_the_backends_tensors(backend):
    vocab = data.Vocab("abcabca")
    assert vocab.to_tokens(backend.tensor(np.array([[1, 2], [3, 0]]))) == [["a", "b"], ["c", "<unk>"]]
    assert vocab.to_tokens(backend.tensor(np.array(2))) == "b"


def test_devices(backend):
    assert backend.interface.device_names()[0] == "cpu"
    assert backend.interface.device_name(backend.interface.get_device("cpu")) == "cpu"
    d2l = backend.d2l
    if d2l.num_gpus() == 0:
        assert backend.interface.device_names() in (["cpu"], ["cpu", "mps"])
        assert len(d2l.try_all_gpus()) == 1
        with pytest.raises(InputError, match="no device 'gpu' for .* here: use one of cpu"):
            backend.interface.get_device("gpu")
    with pytest.raises(InputError, match="no device 'tpu'"):
        backend.interface.get_device("tpu")


@pytest.mark.only(*FRAMEWORKS)  # NumPy has no GPU
@pytest.mark.parametrize(
    ("name", "full"),
    [("gpu", "gpu:0"), ("gpu:1", "gpu:1"), ("cuda", "gpu:0"), ("cuda:0", "gpu:0"), ("cuda:1", "gpu:1")],
)
def test_a_gpu_has_the_names_that_people_give_it(backend, monkeypatch, name, full):
    device = importlib.import_module(f"d2lrnn.{backend.name}.device")
    monkeypatch.setattr(device, "num_gpus", lambda: 2)  # none of them is touched
    assert device.device_name(device.get_device(name)) == full
    with pytest.raises(InputError, match="no device 'cuda:2' for .* here: use one of cpu, gpu:0, gpu:1"):
        device.get_device("cuda:2")


@pytest.mark.only(*FRAMEWORKS)
@pytest.mark.parametrize(("gpus", "full"), [(0, "cpu"), (2, "gpu:0")])
def test_auto_is_what_try_gpu_finds(backend, monkeypatch, gpus, full):
    device = importlib.import_module(f"d2lrnn.{backend.name}.device")
    monkeypatch.setattr(device, "num_gpus", lambda: gpus)  # none of them is touched
    if backend.name == "torch":
        monkeypatch.setattr(device, "_has_mps", lambda: False)
    assert device.device_name(device.get_device("auto")) == device.device_name(device.get_device()) == full


def test_a_sequence_of_arrays_can_be_loaded(backend):
    X, y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6, dtype=np.float32)
    arrays = (backend.tensor(X), backend.tensor(y))
    batches = [(backend.numpy(a), backend.numpy(b)) for a, b in backend.d2l.load_array(arrays, 4, is_train=False)]
    np.testing.assert_array_equal(np.concatenate([a for a, _ in batches]), X)
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), y)
    shuffled = np.concatenate([backend.numpy(b) for _, b in backend.d2l.load_array(arrays, 4)])
    assert sorted(shuffled) == sorted(y)


def test_progress_is_not_drawn_where_nobody_looks(backend, net, load, monkeypatch):
    train_iter, vocab = load()
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    backend.train(net, train_iter, vocab, 1, 1, quiet=False, prefixes=())
    assert stream.getvalue() == ""


@pytest.mark.parametrize("number", [np.float32(1), np.float64(1), np.int64(1)], ids=["float32", "float64", "int64"])
def test_numbers_may_be_numpys(backend, load, number):
    train_iter, vocab = load()
    net, _ = backend.interface.build_model("gru", len(vocab), 8, device="cpu", seed=0)
    assert len(backend.train(net, train_iter, vocab, number, np.int64(1), theta=number)) == 1


def test_a_model_for_another_vocabulary_is_refused(backend, load):
    train_iter, vocab = load()
    with pytest.raises(InputError, match=f"made for 10 tokens, and the vocabulary has {len(vocab)}"):
        backend.train(backend.scratch(10, 8), train_iter, vocab, 1, 1)


def test_an_iterator_that_is_used_up_is_an_error_that_says_so(backend, load):
    train_iter, vocab = load()
    with pytest.raises(InputError, match="no minibatches"):
        backend.train(backend.scratch(len(vocab), 8), iter(train_iter), vocab, 1, 2)


def test_the_uniform_door_runs_a_readers_own_forward_function(backend):
    net = backend.scratch(28, 8)
    net.forward_fn = lambda inputs, state, params: backend.d2l.rnn(inputs, state, params)
    logits, (H,) = backend.interface.forward(net, np.zeros((2, 5), int))
    assert (logits.shape, H.shape) == ((10, 28), (1, 2, 8))


def test_the_scratch_kind_is_no_layer_of_the_framework(backend):
    with pytest.raises(InputError, match="no layer of the framework is 'rnn-scratch'"):
        backend.d2l.recurrent_layer("rnn-scratch", 28, 8)
