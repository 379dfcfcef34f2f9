"""A training and what it leaves: settings, the run folder, training, prediction, conversion, the table of runs."""

from d2lrnn.runs.conversion import convert
from d2lrnn.runs.prediction import load_model, predict
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.runs.training import resume, train

__all__ = ["RunFolder", "Settings", "convert", "load_model", "predict", "resume", "train"]
