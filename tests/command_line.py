"""What the tests of the command line share."""

import os
import sys

STORY = ["--corpus", "story", "--max-tokens", "2000", "--num-hiddens", "16", "--batch-size", "8", "--num-steps", "20"]


def last_line(err):
    return err.strip().splitlines()[-1]


def broken_framework(folder, name, code):
    """Put a module in the place of a framework's, for processes that are started with what this returns as PYTHONPATH.

    What they import otherwise is what this process does.
    """
    (folder / f"{name}.py").write_text(code)
    return os.pathsep.join([str(folder), *filter(None, sys.path)])


def rows_of(*names):
    history = {"epoch": [1, 2], "perplexity": [9.0, 8.0]}
    return [{"backend": name, "problem": None, "history": history, "step_losses": [3.0, 2.0]} for name in names]
