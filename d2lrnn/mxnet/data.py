"""The shared data layer's minibatches as MXNet arrays (book section 8.3)."""

from mxnet import gluon, np

from d2lrnn import data


def _tensors(minibatches):
    # int32 holds every index exactly; MXNet's default, float32, ends at 16,777,216.
    for X, Y in minibatches:
        yield np.array(X, dtype="int32"), np.array(Y, dtype="int32")


def seq_data_iter_random(corpus, batch_size, num_steps, *, seed=None):
    """Yield tensors ``(X, Y)`` as :func:`d2lrnn.data.seq_data_iter_random` yields arrays."""
    return _tensors(data.seq_data_iter_random(corpus, batch_size, num_steps, seed=seed))


def seq_data_iter_sequential(corpus, batch_size, num_steps, *, seed=None, shift=True):
    """Yield tensors ``(X, Y)`` as :func:`d2lrnn.data.seq_data_iter_sequential` yields arrays."""
    return _tensors(data.seq_data_iter_sequential(corpus, batch_size, num_steps, seed=seed, shift=shift))


class SeqDataLoader(data.SeqDataLoader):
    """Yields tensors ``(X, Y)`` as :class:`d2lrnn.data.SeqDataLoader` yields arrays; the arguments are the same."""

    def __iter__(self):
        return _tensors(super().__iter__())


def load_data(source, batch_size, num_steps, use_random_iter=False, max_tokens=None, **options):
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data`."""
    return data.load_data(source, batch_size, num_steps, use_random_iter, max_tokens, loader=SeqDataLoader, **options)


def load_data_time_machine(batch_size, num_steps, use_random_iter=False, max_tokens=10000, **options):
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data_time_machine`."""
    return data.load_data_time_machine(
        batch_size, num_steps, use_random_iter, max_tokens, loader=SeqDataLoader, **options
    )


def load_array(data_arrays, batch_size, is_train=True):
    """Return an iterator over minibatches of tensors (book section 3.3).

    Args:
        data_arrays: Tensors of the same length, features and labels.
        batch_size: Examples in a minibatch.
        is_train: Shuffle them anew in each pass.
    """
    dataset = gluon.data.ArrayDataset(*data_arrays)
    return gluon.data.DataLoader(dataset, batch_size, shuffle=is_train)
