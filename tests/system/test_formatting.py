"""Numbers as people read them."""

import math

import pytest

from d2lrnn.system import formatting


@pytest.mark.parametrize(
    ("form", "number", "words"),
    [
        ("count", 12345.4, "12,345"), ("count", None, "-"),
        ("seconds", 1.25, "1.2 s"), ("seconds", None, "-"), ("seconds", math.inf, "-"),
        ("mebibytes", 2**30, "1,024 MiB"), ("mebibytes", None, "-"), ("mebibytes", math.nan, "-"),
        ("scientific", 3.14e-6, "3.1\u202f×\u202f10⁻⁶"), ("scientific", -2e12, "-2.0\u202f×\u202f10¹²"),
        ("decimal", 1234.5, "1,234.500"), ("decimal", 1e6, "1.0\u202f×\u202f10⁶"), ("decimal", math.nan, "not finite"),
        ("decimal", None, "not finite"),
        ("percent", 0.0025, "0.25\u202f%"), ("percent", 20.0, "2,000\u202f%"),
        ("percent", 1e-9, "1.0\u202f×\u202f10⁻⁷\u202f%"),
    ],
)  # fmt: skip
def test_each_quantity_has_its_form(form, number, words):
    assert getattr(formatting, f"format_{form}")(number) == words


def test_a_cell_of_a_markdown_table_may_have_a_bar_in_it():
    assert formatting.markdown_table(["", "a"], [["x | y", "1"]]) == ["|  | a |", "| --- | --- |", "| x \\| y | 1 |"]
