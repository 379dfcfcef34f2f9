"""The ``d2lrnn`` command."""
