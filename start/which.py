"""Prints the version and the path of the Python that runs this file, an old one perhaps."""

import sys

print("%d.%d.%d" % sys.version_info[:3])  # noqa: UP031
print(sys.executable)
