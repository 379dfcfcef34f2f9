"""From sentence to sentence: each backend against NumPy in float64, and NumPy's gradients by finite differences."""

import contextlib
import operator
from fractions import Fraction

import numpy as np
import pytest
import tolerances

from d2lrnn import numpy as reference
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.data import Vocab
from d2lrnn.data.translation import RESERVED, build_array_nmt, read_source
from d2lrnn.errors import D2LRNNWarning, DivergenceError, InputError

SOURCE = [["go", "."], ["i", "lost", "."], ["go", "now", "."], ["i", "go", "."]]
TARGET = [["va", "!"], ["j'ai", "perdu", "."], ["va", "maintenant", "!"], ["je", "vais", "."]]
STEPS, EMBED, HIDDENS, LAYERS = 5, 6, 8, 2


def vocabs():
    return Vocab(SOURCE, reserved_tokens=RESERVED), Vocab(TARGET, reserved_tokens=RESERVED)


def arrays():
    """Return one minibatch as arrays: X, X_valid_len, Y, Y_valid_len."""
    return tuple(
        array
        for lines, vocab in zip((SOURCE, TARGET), vocabs(), strict=True)
        for array in build_array_nmt(lines, vocab, STEPS)
    )


def minibatch(backend):
    """Return the minibatch in the types in which the tab's own iterator has it."""
    if backend.name == "numpy":
        return arrays()
    if backend.name == "torch":
        return tuple(backend.framework.tensor(part.tolist()) for part in arrays())
    if backend.name == "tensorflow":
        return tuple(backend.framework.constant(part) for part in arrays())
    return tuple(backend.framework.np.array(part, dtype="float32" if part.ndim == 2 else "int32") for part in arrays())


def teacher_forced(Y, tgt_vocab):
    return np.hstack([np.full_like(Y[:, :1], tgt_vocab["<bos>"]), Y[:, :-1]])


def seed(backend):
    """Let the framework draw the same weights in every run."""
    if backend.name != "numpy":
        # Keras 3 draws its layers' seeds from Python's generator, which tf.random.set_seed leaves as it is
        names = {"torch": "manual_seed", "mxnet": "random.seed", "tensorflow": "keras.utils.set_random_seed"}
        operator.attrgetter(names[backend.name])(backend.framework)(0)


def ready(backend, *, dropout=0):
    """Return a model of the chapter's encoder and decoder, with weights."""
    src_vocab, tgt_vocab = vocabs()
    d2l = backend.d2l
    seed(backend)
    net = d2l.EncoderDecoder(
        d2l.Seq2SeqEncoder(len(src_vocab), EMBED, HIDDENS, LAYERS, dropout),
        d2l.Seq2SeqDecoder(len(tgt_vocab), EMBED, HIDDENS, LAYERS, dropout),
    )
    if backend.name == "mxnet":
        net.initialize(backend.framework.init.Xavier())
    X, X_valid_len, Y, _ = minibatch(backend)
    net(X, Y, X_valid_len)
    if backend.name == "numpy":
        rng = np.random.default_rng(0)
        for param in net.params:
            param[:] = rng.normal(0, 0.5, param.shape)
    return net


def gru_arrays(backend, layers):
    """Return W_xh, W_hh, b_h and b_hh of each layer, as NumPy's backend has them."""
    if backend.name == "tensorflow":
        # Keras's gates are update, reset, candidate
        def swapped(array):
            update, reset, candidate = np.split(array, 3, axis=-1)
            return np.concatenate([reset, update, candidate], axis=-1)

        return [
            [swapped(kernel), swapped(recurrent), swapped(bias[0]), swapped(bias[1])]
            for kernel, recurrent, bias in (layer.get_weights() for layer in layers)
        ]
    names = ("weight_ih_l{0}", "weight_hh_l{0}", "bias_ih_l{0}", "bias_hh_l{0}")
    if backend.name == "mxnet":
        names = ("l{0}_i2h_weight", "l{0}_h2h_weight", "l{0}_i2h_bias", "l{0}_h2h_bias")

    def array(name):
        param = getattr(layers, name)
        return backend.numpy(param.data() if backend.name == "mxnet" else param.detach())

    return [[array(name.format(i)).T for name in names] for i in range(LAYERS)]


def flat_arrays(backend, net):
    """Return copies of a model's parameters in the order of NumPy's ``net.params``."""
    if backend.name == "numpy":
        return [param.copy() for param in net.params]

    def own(layer, *names):
        if backend.name == "tensorflow":
            return layer.get_weights()
        params = [getattr(layer, name) for name in names]
        return [backend.numpy(p.data() if backend.name == "mxnet" else p.detach()) for p in params]

    found = []
    for part in (net.encoder, net.decoder):
        found += own(part.embedding, "weight")
        found += [array for layer in gru_arrays(backend, part.rnn) for array in layer]
    weight, bias = own(net.decoder.dense, "weight", "bias")
    found += [weight if backend.name == "tensorflow" else weight.T, bias]
    return [array.copy() for array in found]  # PyTorch's arrays share their memory with its tensors


def twin(backend, net):
    """Return NumPy's model with the weights of another one."""
    src_vocab, tgt_vocab = vocabs()
    result = reference.EncoderDecoder(
        reference.Seq2SeqEncoder(len(src_vocab), EMBED, HIDDENS, LAYERS),
        reference.Seq2SeqDecoder(len(tgt_vocab), EMBED, HIDDENS, LAYERS),
    )
    for param, value in zip(result.params, flat_arrays(backend, net), strict=True):
        param[:] = value
    return result


def train(backend, net, *args, data_iter=None, **options):
    data_iter = [minibatch(backend)] if data_iter is None else data_iter
    device = backend.d2l.cpu() if backend.name == "tensorflow" else backend.cpu
    return backend.d2l.train_seq2seq(net, data_iter, *args, vocabs()[1], device, **{"quiet": True, **options})


def translate(backend, net, sentence, num_steps=STEPS, **options):
    return backend.d2l.predict_seq2seq(net, sentence, *vocabs(), num_steps, *backend.place, **options)


# The parts


@pytest.mark.parametrize(("shape", "value"), [((2, 4), 0), ((2, 4), -1), ((2, 4, 3), -1)])
def test_what_is_padding_is_masked(backend, shape, value):
    x = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    X, expected = backend.tensor(x), x.copy()
    expected[0, 1:] = value
    result = backend.d2l.sequence_mask(X, backend.tensor(np.array([1, 4])), value=value)
    np.testing.assert_array_equal(backend.numpy(result), expected)
    np.testing.assert_array_equal(backend.numpy(X), x)  # the book's PyTorch changes it


def loss_of(backend, pred, label, valid_len):
    tensors = [backend.tensor(array) for array in (pred, label, valid_len)]
    if backend.name == "tensorflow":
        return backend.numpy(backend.d2l.MaskedSoftmaxCELoss(tensors[2])(tensors[1], tensors[0]))
    return backend.numpy(backend.d2l.MaskedSoftmaxCELoss()(*tensors))


def test_padding_does_not_count_in_the_loss(backend):
    rng = np.random.default_rng(0)
    pred, label = rng.normal(size=(3, 4, 10)).astype(np.float32), rng.integers(0, 10, (3, 4))
    valid_len = np.array([4, 2, 0])
    log_probs = pred - np.log(np.exp(pred.astype(np.float64)).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(log_probs, label[..., None], axis=2)[..., 0]
    expected = [losses[i, :n].sum() / 4 for i, n in enumerate(valid_len)]
    result = loss_of(backend, pred, label, valid_len)
    assert result.shape == (3,)
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerances.LOSS)


def test_shapes_and_the_first_state(backend):
    net = ready(backend)
    X, X_valid_len, Y, _ = minibatch(backend)
    outputs, state = net.encoder(X, X_valid_len)
    time_major, batch_major = (STEPS, len(SOURCE), HIDDENS), (len(SOURCE), STEPS, HIDDENS)
    assert tuple(outputs.shape) == (batch_major if backend.name == "tensorflow" else time_major)
    H, context = net.decoder.init_state((outputs, state), X_valid_len)
    assert H is state
    assert tuple(context.shape) == (len(SOURCE), HIDDENS)
    logits, (H, same) = net.decoder(Y, (H, context))
    assert tuple(logits.shape) == (len(SOURCE), STEPS, len(vocabs()[1]))
    assert same is context


@pytest.mark.only(*FRAMEWORKS)
def test_the_logits_are_those_of_numpy(backend):
    net = ready(backend)
    X, X_valid_len, Y, _ = minibatch(backend)
    expected, _ = twin(backend, net)(arrays()[0], arrays()[2])
    logits, _ = net(X, Y, X_valid_len)
    np.testing.assert_allclose(
        backend.numpy(logits.detach() if backend.name == "torch" else logits), expected, rtol=0, atol=tolerances.LOGITS
    )


@pytest.mark.only("numpy")
def test_numpys_gradients_by_finite_differences(backend):
    net, loss = ready(backend), backend.d2l.MaskedSoftmaxCELoss()
    X, _, Y, Y_valid_len = arrays()
    dec_X = teacher_forced(Y, vocabs()[1])

    def total():
        return loss(net(X, dec_X)[0], Y, Y_valid_len).sum()

    total()
    net.backward(loss.backward())
    for param, grad in zip(net.params, [grad.copy() for grad in net.grads], strict=True):
        assert param.shape == grad.shape
        for place in np.random.default_rng(0).permutation(param.size)[:6]:
            before, ends = param.flat[place], []
            for step in (1e-5, -1e-5):
                param.flat[place] = before + step
                ends.append(total())
            param.flat[place] = before
            difference = (ends[0] - ends[1]) / 2e-5
            assert grad.flat[place] == pytest.approx(difference, abs=tolerances.FINITE_DIFFERENCE)


@pytest.mark.only("numpy")
@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
def test_the_gradient_of_a_first_state_by_finite_differences(backend, layer):
    from d2lrnn.numpy import nn

    rng = np.random.default_rng(0)
    rnn = getattr(nn, layer)(3, 4, 2, seed=0)
    X, parts = rng.normal(size=(5, 2, 3)), [rng.normal(size=(2, 2, 4)) for _ in range(rnn.num_states)]
    wY, w = rng.normal(size=(5, 2, 4)), [rng.normal(size=(2, 2, 4)) for _ in parts]

    def form(parts):
        return tuple(parts) if len(parts) > 1 else parts[0]

    def total():
        Y, state = rnn(X, form(parts))
        rows = state if isinstance(state, tuple) else (state,)
        return (Y * wY).sum() + sum((row * own).sum() for row, own in zip(rows, w, strict=True))

    total()
    rnn.backward(wY, form(w))
    found = rnn.d_first_state if len(parts) > 1 else (rnn.d_first_state,)
    for part, grad in zip(parts, found, strict=True):
        assert part.shape == grad.shape
        for place in range(part.size):
            before, ends = part.flat[place], []
            for step in (1e-5, -1e-5):
                part.flat[place] = before + step
                ends.append(total())
            part.flat[place] = before
            assert grad.flat[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=3e-8)


@pytest.mark.only("numpy")
def test_numpys_adam_is_the_papers(backend):
    """Its means written as sums over all steps, and a parameter without a gradient."""
    from d2lrnn.numpy import nn

    rng = np.random.default_rng(0)
    grads = rng.normal(size=(3, 4))
    param, other = np.ones(4), np.ones(2)
    optimizer, expected = nn.Adam([param, other], 0.1), np.ones(4)
    for t, grad in enumerate(grads, 1):
        optimizer.step([grad, None])
        mean, square = (
            np.average(grads[:t] ** power, axis=0, weights=beta ** np.arange(t)[::-1])
            for power, beta in ((1, 0.9), (2, 0.999))
        )
        expected -= 0.1 * mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(param, expected, rtol=1e-12)
    np.testing.assert_array_equal(other, 1)


@pytest.mark.only("numpy")
def test_no_way_back_through_a_layer_that_was_not_called(backend):
    from d2lrnn.numpy import nn

    with pytest.raises(InputError, match="has not been called"):
        nn.Embedding(3, 2).backward(np.ones((1, 2)))


# Training


@pytest.mark.only(*FRAMEWORKS)
@pytest.mark.parametrize("theta", [1.0, 0.1])
def test_a_training_is_that_of_numpy(backend, theta):
    net = ready(backend)
    other = twin(backend, net)
    expected = reference.train_seq2seq(other, [arrays()], 0.01, 3, vocabs()[1], "cpu", theta=theta, quiet=True)
    history = train(backend, net, 0.01, 3, theta=theta)
    for own, others in ((history.perplexity, expected.perplexity), (history.gradient_norm, expected.gradient_norm)):
        assert own[0] == pytest.approx(others[0], rel=tolerances.TRANSLATION)
        np.testing.assert_allclose(own, others, rtol=tolerances.TRANSLATION_AFTER_STEPS)


def test_it_learns_and_translates(backend):
    net = ready(backend)
    history = train(backend, net, 0.05, 80)
    assert history.perplexity[-1] < 1.1
    assert len(history) == 80
    for words, expected in zip(SOURCE, TARGET, strict=True):
        assert translate(backend, net, " ".join(words)) == (" ".join(expected), [])


def test_the_loss_is_in_nats_per_word(backend):
    """Uniform logits: the logarithm of the vocabulary's size. The book divides by num_steps once more."""
    net = ready(backend)
    other = twin(backend, net)
    X, _, Y, Y_valid_len = arrays()
    loss = reference.MaskedSoftmaxCELoss()
    total = loss(other(X, teacher_forced(Y, vocabs()[1]))[0], Y, Y_valid_len).sum() * STEPS
    history = train(backend, net, 0.01, 1)
    assert np.log(history.perplexity[0]) == pytest.approx(total / Y_valid_len.sum(), abs=1e-5)


def test_a_net_that_has_weights_is_trained_from_them(backend):
    """The book's PyTorch and MXNet draw new ones in each training."""
    net = ready(backend)
    before = flat_arrays(backend, net)
    train(backend, net, 1e-7, 1)
    for own, others in zip(flat_arrays(backend, net), before, strict=True):
        np.testing.assert_allclose(own, others, rtol=0, atol=1e-6)


@pytest.mark.only("mxnet")
def test_a_net_without_weights_gets_them(backend):
    src_vocab, tgt_vocab = vocabs()
    d2l = backend.d2l
    net = d2l.EncoderDecoder(
        d2l.Seq2SeqEncoder(len(src_vocab), EMBED, HIDDENS, LAYERS),
        d2l.Seq2SeqDecoder(len(tgt_vocab), EMBED, HIDDENS, LAYERS),
    )
    assert len(train(backend, net, 0.01, 1)) == 1


def test_the_last_line_is_in_the_books_form(backend, capsys):
    history = train(backend, ready(backend), 0.01, 1, quiet=False)
    out = capsys.readouterr().out
    assert out.startswith(f"loss {np.log(history.perplexity[0]):.3f}, ")
    assert " tokens/sec on " in out
    train(backend, ready(backend), 0.01, 1)
    assert capsys.readouterr().out == ""


def test_a_history_goes_on_and_a_callback_ends_it(backend):
    net = ready(backend)
    first = train(backend, net, 0.01, 2)
    seen = []

    def callback(number, epoch):
        seen.append(number)
        return number == 4

    history = train(backend, net, 0.01, 5, history=first, callback=callback)
    assert seen == [3, 4]
    assert history.begins_with(first)
    assert len(history) == 4


class Recorded:
    """The minibatch, once in each epoch; keeps the weights that each began with."""

    def __init__(self, backend, net):
        self.backend, self.net, self.before = backend, net, []

    def __iter__(self):
        self.before.append(flat_arrays(self.backend, self.net))
        yield minibatch(self.backend)


def assert_given_back(backend, net, before):
    for own, kept in zip(flat_arrays(backend, net), before, strict=True):
        assert np.isfinite(own).all()
        np.testing.assert_array_equal(own, kept)


def test_a_training_that_diverges_gives_the_weights_back(backend):
    net = ready(backend)
    data_iter = Recorded(backend, net)
    with pytest.raises(DivergenceError) as caught:
        train(backend, net, 1e30, 30, data_iter=data_iter)
    assert_given_back(backend, net, data_iter.before[caught.value.epoch - 1])


def spoil(backend, net):
    """Let a weight be NaN."""
    dense = net.decoder.dense
    if backend.name == "numpy":
        dense.params["output.b_q"][:] = np.nan
    elif backend.name == "torch":
        dense.bias.data.fill_(np.nan)
    elif backend.name == "mxnet":
        dense.bias.data()[:] = np.nan
    else:
        dense.bias.assign(np.full(dense.bias.shape, np.nan))


def test_a_weight_that_becomes_nan_is_noticed_in_its_epoch(backend):
    """The loss of the epoch is finite: it is the last step's that spoils the weights."""

    class Spoiling(Recorded):
        def __iter__(self):
            yield from super().__iter__()
            if len(self.before) == 2:
                spoil(self.backend, self.net)

    net = ready(backend)
    data_iter = Spoiling(backend, net)
    with pytest.raises(DivergenceError, match="a weight became NaN or infinite at epoch 2") as caught:
        train(backend, net, 0.01, 2, data_iter=data_iter)
    assert len(caught.value.history) == 1
    assert_given_back(backend, net, data_iter.before[1])


class Freed:
    def __del__(self):
        raise KeyboardInterrupt


def test_a_ctrl_c_that_python_drops_is_not_lost(backend):
    class Minibatches:
        def __iter__(self):
            Freed()
            yield minibatch(backend)

    with pytest.raises(KeyboardInterrupt):
        train(backend, ready(backend), 0.01, 9, data_iter=Minibatches())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.01, 0), {}, "num_epochs must be"),
        ((-1, 1), {}, "lr must be"),
        ((0.01, 1), {"theta": 0}, "theta must be"),
        ((0.01, 1), {"data_iter": []}, "data_iter has no minibatches"),
    ],
)
def test_what_cannot_be_trained_is_an_error_that_says_so(backend, arguments, options, message):
    with pytest.raises(InputError, match=message):
        train(backend, ready(backend), *arguments, **options)


def test_a_learning_rate_of_any_kind_of_number(backend):
    assert len(train(backend, ready(backend), Fraction(1, 100), 1)) == 1


@pytest.mark.only("mxnet")
def test_without_numpys_semantics_mxnet_says_so(backend):
    """As the import of a first edition leaves it."""
    net = ready(backend)
    backend.framework.npx.reset_np()
    try:
        with pytest.raises(InputError, match="NumPy's semantics are off"):
            train(backend, net, 0.01, 1, data_iter=[()])
        with pytest.raises(InputError, match="NumPy's semantics are off"):
            translate(backend, net, "go .")
    finally:
        backend.framework.npx.set_np()


@pytest.mark.only("tensorflow")
def test_the_device_is_named_as_the_book_prints_it(backend, capsys):
    device = backend.d2l.cpu()
    backend.d2l.train_seq2seq(ready(backend), [minibatch(backend)], 0.01, 1, vocabs()[1], device)
    assert capsys.readouterr().out.endswith(" tokens/sec on /CPU:0\n")
    # What a context manager of another kind chooses counts, too
    other = contextlib.nullcontext()
    backend.d2l.train_seq2seq(ready(backend), [minibatch(backend)], 0.01, 1, vocabs()[1], other)
    assert " tokens/sec on /" in capsys.readouterr().out


@pytest.mark.only("torch", "tensorflow")
def test_dropout_acts_in_training_and_not_in_translation(backend):
    net = ready(backend, dropout=0.5)
    assert len({translate(backend, net, "go .")[0] for _ in range(5)}) == 1
    X, X_valid_len, Y, _ = minibatch(backend)
    how = {"training": True} if backend.name == "tensorflow" else {}
    if backend.name == "torch":
        net.train()
    one, other = (backend.numpy(backend.d2l.numpy(net(X, Y, X_valid_len, **how)[0])) for _ in range(2))
    assert not np.array_equal(one, other)


@pytest.mark.only("torch")
def test_a_translation_leaves_the_mode_as_it_was(backend):
    net = ready(backend)
    net.train()
    translate(backend, net, "go .")
    assert net.training
    assert net.decoder.rnn.training


@pytest.mark.only("mxnet")
def test_mxnet_says_that_dropout_has_no_effect(backend):
    with pytest.warns(D2LRNNWarning, match="the dropout=0.5 of GRU has no effect"):
        train(backend, ready(backend, dropout=0.5), 0.01, 1)


@pytest.mark.only("numpy")
def test_numpy_has_no_dropout(backend):
    for part in (backend.d2l.Seq2SeqEncoder, backend.d2l.Seq2SeqDecoder):
        with pytest.raises(InputError, match="no dropout, and dropout=0.1 was given: leave it out"):
            part(9, 6, 8, 2, 0.1)


# Translation


def test_a_sentence_is_read_as_those_of_the_training(backend):
    """The book takes it as it is, and so knows neither ``Go.`` nor a capital letter."""
    assert read_source("Go.", vocabs()[0], 4) == read_source("go .", vocabs()[0], 4)
    net = ready(backend)
    train(backend, net, 0.05, 80)
    assert translate(backend, net, "Go.")[0] == "va !"


def test_step_by_step_a_decoder_reads_what_it_reads_at_once(backend):
    """The book's takes its own last state for the encoder's as soon as it goes step by step, and never in training."""
    net = ready(backend)
    X, X_valid_len, Y, _ = minibatch(backend)
    state = net.decoder.init_state(net.encoder(X, X_valid_len), X_valid_len)
    at_once, _ = net.decoder(Y, state)
    steps = []
    for t in range(STEPS):
        logits, state = net.decoder(Y[:, t : t + 1], state)
        steps.append(backend.d2l.numpy(logits))
    np.testing.assert_allclose(
        np.concatenate(steps, axis=1), backend.d2l.numpy(at_once), rtol=0, atol=tolerances.LOGITS
    )


def test_a_sentence_that_is_too_long_is_cut_off_with_a_warning(backend):
    net = ready(backend)
    with pytest.warns(D2LRNNWarning, match="the sentence has 6 words, and with its <eos> 4 are read"):
        long, _ = translate(backend, net, "go go go go go go", 4)
    assert len(long.split()) <= 4


def test_what_is_attended_to_is_kept(backend):
    d2l = backend.d2l

    class Attending(d2l.AttentionDecoder):
        def init_state(self, enc_outputs, *args):
            self.steps = 0
            return enc_outputs

        def answer(self, X, state, **kwargs):
            self.steps += 1
            index = vocabs()[1]["<eos>"] if self.steps == 3 else 5
            logits = np.zeros((1, 1, len(vocabs()[1])), np.float32)
            logits[0, 0, index] = 1
            return backend.tensor(logits), state

        forward = call = answer

        @property
        def attention_weights(self):
            return self.steps

    net = d2l.EncoderDecoder(ready(backend).encoder, Attending())
    words, weights = translate(backend, net, "go .", save_attention_weights=True)
    assert words.split() == [vocabs()[1].to_tokens(5)] * 2
    assert weights == [1, 2, 3]
    assert translate(backend, net, "go .")[1] == []


def test_attention_weights_that_are_not_defined_are_named(backend):
    class Mine(backend.d2l.AttentionDecoder):
        pass

    with pytest.raises(NotImplementedError, match="define the property attention_weights in Mine"):
        _ = Mine().attention_weights


def test_a_vocabulary_without_reserved_tokens_is_an_error_that_says_so(backend):
    net, plain = ready(backend), Vocab(TARGET)
    with pytest.raises(InputError, match="tgt_vocab must have <bos> and <eos>"):
        backend.d2l.predict_seq2seq(net, "go .", vocabs()[0], plain, STEPS, *backend.place)
    device = backend.d2l.cpu() if backend.name == "tensorflow" else backend.cpu
    with pytest.raises(InputError, match="tgt_vocab must have <bos> and <eos>"):
        backend.d2l.train_seq2seq(net, [minibatch(backend)], 0.01, 1, plain, device, quiet=True)
    with pytest.raises(InputError, match="must have <pad> and <eos>"):
        backend.d2l.predict_seq2seq(net, "go .", Vocab(SOURCE), vocabs()[1], STEPS, *backend.place)
    with pytest.raises(InputError, match="num_steps must be"):
        backend.d2l.predict_seq2seq(net, "go .", *vocabs(), 0, *backend.place)
