"""The page on editions: its imports work, and each call that it names is there, under the edition's own import."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parity

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "notebooks" / "site" / "editions.md"
IMPORT = re.compile(r"`(from d2lrnn\S* import (\w+)(?: as \w+)?)`((?:,? or `\w+`)?(?:, `\w+`)*)")


def imports(text):
    """Return the imports in a text, and with the other names that one is said to have too."""
    return [
        statement.replace(f"import {first}", f"import {name}")
        for statement, first, others in IMPORT.findall(text)
        for name in [first, *re.findall(r"`(\w+)`", others)]
    ]


def missing(statement, names):
    """Return which attributes of ``d2l`` are not there after an import, in a process of its own."""
    code = f"{statement}\nimport json\nprint(json.dumps([name for name in {names!r} if not hasattr(d2l, name)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return json.loads(done.stdout.splitlines()[-1])


def columns(text):
    """Return, of the table of calls, the import in each column and the names of ``d2l`` that the column has."""
    rows = [line.strip("| \n").split(" | ") for line in text[text.index("| import |") :].split("\n\n")[0].splitlines()]
    found = {}
    for row in rows[1:]:
        for number, cell in enumerate(row[1:], 1):
            # What stands to the left is meant, of another module of the same names
            cell = row[number - 1] if cell == "the same" else cell
            found.setdefault(imports(rows[0][number])[0], set()).update(re.findall(r"\bd2l\.(\w+)", cell))
    return found


TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["notebooks/site/editions.md", "README.md"])
def test_every_import_of_the_page_works(page):
    found = imports((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) >= 9
    assert [statement for statement in dict.fromkeys(found) if missing(statement, [])] == []


@pytest.mark.parametrize("statement", list(columns(TEXT)))
def test_every_call_of_a_column_is_there(statement):
    names = columns(TEXT)[statement]
    assert len(names) >= 8
    assert missing(statement, sorted(names)) == []


def test_the_checks_of_the_page_can_fail():
    assert missing("from d2lrnn import numpy as d2l", ["train_ch8", "train_ch9"]) == ["train_ch9"]
    assert imports("`from d2lrnn.edition_1 import torch as d2l`, or `mxnet`, `tensorflow`")[1:] == [
        "from d2lrnn.edition_1 import mxnet as d2l",
        "from d2lrnn.edition_1 import tensorflow as d2l",
    ]
