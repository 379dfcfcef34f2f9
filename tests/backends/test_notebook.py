"""Training in a real notebook kernel: the bar, the curve and the last lines are in its outputs."""

import nbformat
import pytest
from nbclient import NotebookClient

CELL = """
from d2lrnn import {name} as d2l
train_iter, vocab = d2l.load_data('story', 8, 20, max_tokens=1500, seed=0)
{make}
history = d2l.train_ch8(net, train_iter, vocab, 1, 12, {device})
"""
MAKE = {
    "torch": "net = d2l.RNNModelScratch(len(vocab), 16, d2l.cpu(), d2l.get_params, d2l.init_rnn_state, d2l.rnn)",
    "tensorflow": "net = d2l.RNNModelScratch(len(vocab), 16, d2l.init_rnn_state, d2l.rnn, d2l.get_params)",
}
MAKE["mxnet"] = MAKE["numpy"] = MAKE["torch"]
TENSORFLOW_DEVICE = "__import__('tensorflow').distribute.OneDeviceStrategy('/CPU:0')"


# The client's own: a message queue that is closed late, and a setting that is about to change its default
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_training_in_a_notebook(backend, tmp_path):
    device = TENSORFLOW_DEVICE if backend.name == "tensorflow" else "d2l.cpu()"
    cell = CELL.format(name=backend.name, make=MAKE[backend.name], device=device)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = notebook.cells[0].outputs
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    noise = "".join(output.text for output in outputs if output.get("name") == "stderr")

    # Updated in their places: one bar, at its last epoch, and one figure
    bars = [data["text/html"] for data in shown if "text/html" in data]
    assert len(bars) == 1
    assert '<progress value="12" max="12">' in bars[0]
    assert "epoch 12/12, perplexity" in bars[0]
    assert "tokens/s" in bars[0]
    assert len([data for data in shown if "image/svg+xml" in data]) == 1
    assert printed.startswith("perplexity ")
    assert [line[:9] for line in printed.splitlines()[1:]] == ["time trav", "traveller"]
    assert noise == ""


EDITION_1 = """
from d2lrnn.edition_1 import {name} as d2l
data = d2l.TimeMachine(batch_size=50, num_steps=5, num_train=100, num_val=50)
model = d2l.RNNLMScratch(d2l.RNNScratch(len(data.vocab), 4), len(data.vocab), lr=1)
trainer = d2l.Trainer(max_epochs=3, gradient_clip_val=1)
trainer.fit(model, data)
"""


@pytest.mark.only("torch", "mxnet", "tensorflow")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_training_of_edition_1_shows_one_figure_in_each_cell(backend, tmp_path):
    cells = [
        nbformat.v4.new_code_cell(cell) for cell in (EDITION_1.format(name=backend.name), "trainer.fit(model, data)")
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell in notebook.cells:
        shown = [output for output in cell.outputs if output.output_type == "display_data"]
        assert ["image/svg+xml" in output.data for output in shown] == [True]
        assert not [output for output in cell.outputs if output.get("name") == "stdout"]
