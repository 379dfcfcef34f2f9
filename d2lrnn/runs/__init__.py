"""A training and what it leaves: settings, the run folder, training, prediction, conversion, the table of runs."""
