"""PyTorch's files, as users write them."""

import pickle
import re

import numpy as np
import pytest
from weight_files import FUSED, H, V, X, assert_logits, randomise, save, torch_logits, torch_model

from d2lrnn.errors import InputError
from d2lrnn.weights import exchange


@pytest.mark.only("torch")
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_torch_other_names_and_number_types(backend, tmp_path, kind, dtype):
    torch = backend.framework
    net = torch_model(kind, 2, True)
    randomise(backend, net, np.random.default_rng(3))
    net = net.to(getattr(torch, "float16" if dtype == "float64" else dtype))
    state = {
        re.sub("^rnn", "module.model.my_rnn", re.sub("^linear", "module.fc", name)): value.to(getattr(torch, dtype))
        for name, value in net.state_dict().items()
    }
    torch.save(state, tmp_path / "users.pth")
    _, weights = exchange.read_file(tmp_path / "users.pth", kind)
    assert_logits(torch_logits(net.float(), X), weights, X, kind)


@pytest.mark.only("torch")
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_torch_without_biases(backend, tmp_path, kind, layers, both):
    net = torch_model(kind, layers, both, bias=False)
    net.linear = backend.framework.nn.Linear(net.linear.in_features, V, bias=False)
    save(backend, net, tmp_path / "users.pt")
    _, weights = exchange.read_file(tmp_path / "users.pt", kind)
    assert not weights["layers.0.b_h"].any()
    assert_logits(torch_logits(net, X), weights, X, kind)


class Harmful:
    """What a pickle may hold: code that runs when it is read."""

    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


@pytest.mark.only("torch")
def test_torch_runs_no_code_of_a_file(backend, tmp_path):
    path = tmp_path / "model.pt"
    backend.framework.save({"rnn.weight_ih_l0": Harmful()}, path)
    with pytest.raises(InputError, match="finds no plain tensors in the file"):
        exchange.read_file(path)
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match="finds no plain tensors in the file"):
        exchange.read_file(path)
    assert not Harmful.ran


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda torch: [1], "holds a list, no dict of tensors"),
        (
            lambda torch: {"state_dict": {}},
            "'state_dict' of the file is a dict, no tensor: save net.state",
        ),
        (lambda torch: {"a": torch.zeros(1).expand(10**12)}, "more numbers than the file"),
        (lambda torch: {"a": torch.zeros(2, dtype=torch.int64)}, "'a' is torch.int64"),
        (lambda torch: {"a": torch.zeros(2, 2).to_sparse()}, "torch.sparse_coo: it must be dense"),
        (lambda torch: torch.nn.LSTM(V, H, proj_size=2).state_dict(), "'weight_hr_l0' is the projection of an LSTM"),
        (lambda torch: torch.nn.LSTM(V, H).state_dict(), "there must be one dense output layer.* the tensors are none"),
    ],
    ids=["list", "checkpoint", "huge", "integers", "sparse", "projection", "no-output"],
)
def test_torch_files_that_are_refused(backend, tmp_path, content, message):
    backend.framework.save(content(backend.framework), tmp_path / "users.pt")
    with pytest.raises(InputError, match=message):
        exchange.read_file(tmp_path / "users.pt")
