"""``python -m d2lrnn``: the command, where its script is not on the path."""

import sys

from d2lrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
