"""What the report of a comparison says."""

import json
import math
import re
import shlex
from dataclasses import asdict, fields
from datetime import datetime
from html import unescape

import pytest
from reports import (
    DOCUMENTS,
    NAMES,
    STEPS,
    TITLES,
    Page,
    differing_texts,
    ended_early,
    make_document,
    nothing_ran,
    partly_infinite,
)

from d2lrnn.cli.parser import make_parser, settings_of
from d2lrnn.comparison import compare, report
from d2lrnn.core import backends
from d2lrnn.runs.settings import Settings
from d2lrnn.system.formatting import format_scientific
from d2lrnn.weights import canonical


def test_the_table_has_the_results_of_each_backend():
    document = make_document(valid_fraction=0.1)
    content = report.render(document)
    table = re.search(r'<table class="results">.*?</table>', content, re.DOTALL).group()
    rows = {
        re.sub("<.*?>", "", head): [unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", cells)]
        for head, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table)
    }
    first, second, third = document["backends"]
    assert [re.sub("<.*?>", "", head) for head in re.findall(r'<th scope="col">(.*?)</th>', table)] == list(
        TITLES.values()
    )
    assert rows["version"] == ["1.2.3", "2.2.3", "3.2.3"]
    assert rows["parameters"] == ["7,654"] * 3
    assert rows["perplexity"] == [f"{row['perplexity']:.3f}" for row in (first, second, third)]
    assert rows["held-out perplexity"] == [f"{row['valid_perplexity']:.3f}" for row in (first, second, third)]
    assert rows["bits per character"] == [f"{row['bits_per_character']:.3f}" for row in (first, second, third)]
    assert rows["tokens/s"] == ["10,000", "20,000", "30,000"]
    assert rows["peak memory"] == ["256\u202fMiB", "512\u202fMiB", "768\u202fMiB"]
    assert rows["start-up"] == ["1.5\u202fs", "3.0\u202fs", "4.5\u202fs"]
    expected = ["7.0\u202f×\u202f10⁻⁷", "1.4\u202f×\u202f10⁻⁶", "2.1\u202f×\u202f10⁻⁶"]
    assert rows[f"in the first {compare.FIRST_STEPS} steps"] == expected
    assert rows[f"in all {STEPS} steps"] == expected


def test_the_held_out_row_is_there_only_if_a_part_was_held_out():
    assert "held-out perplexity" not in report.render(make_document())


def test_a_backend_that_did_not_run_has_its_row_with_the_reason():
    page = Page(report.render(DOCUMENTS["one failed"]()))
    (group,) = (text for attributes, text in page.find("tbody") if attributes.get("class") == "failed")
    assert "MXNet 2.2.3" in group
    assert "its process was killed by SIGSEGV" in group
    (headline,) = (text for _, text in page.find("h1"))
    assert headline.startswith("PyTorch and TensorFlow train")
    assert "MXNet did not run" in page.text
    assert "the same text in both" in page.text


def test_where_nothing_ran_every_backend_has_its_reason():
    page = Page(report.render(nothing_ran()))
    (headline,) = (text for _, text in page.find("h1"))
    assert headline == "No backend could run"
    for name in NAMES:
        assert f"{TITLES[name]} is not installed: {backends.install_command(name)}" in page.text
    assert not page.find("figure")


def test_the_headline_and_the_paragraph_tell_how_far_they_agree():
    document = make_document()
    finals = [row["perplexity"] for row in document["backends"]]
    page = Page(report.render(document))
    ((_, headline),) = page.find("h1")
    percent = 100 * (max(finals) / min(finals) - 1)
    assert f"end {percent:.2g}\u202f% apart" in headline
    lead = next(text for attributes, text in page.find("p") if attributes.get("class") == "lead")
    assert "An RNN from scratch of 1 layer with 512 hidden units" in lead
    assert "(4,321 tokens, 28 different)" in lead
    assert "(seed 7)" in lead
    assert "in the first 10 training steps by at most 2.1\u202f×\u202f10⁻⁶ nats" in lead
    assert "(TensorFlow)" in lead
    for row in document["backends"]:
        row["perplexity"] = 4.25
    page = Page(report.render(document))
    assert page.find("h1")[0][1].endswith("their perplexities end equal")
    assert "The last perplexities lie at 4.250." in page.text


def test_a_perplexity_that_is_not_finite_is_told():
    document = partly_infinite()
    page = Page(report.render(document))
    assert page.find("h1")[0][1].endswith("2 of 3 end with a finite perplexity")
    assert "not finite" in page.text
    assert "1 value is exactly zero and not drawn" in page.text
    for row in document["backends"]:
        row["perplexity"] = math.nan
    assert "none of 3 end with" in report.render(document)


def test_every_setting_and_every_model_has_a_name():
    assert list(report.LABELS) == [field.name for field in fields(Settings)]
    assert set(report.MODELS) == set(canonical.KINDS)
    page = Page(report.render(make_document(theta=0.25, batch_size=17)))
    table = next(text for attributes, text in page.find("table") if attributes.get("class") == "settings")
    for label in report.LABELS.values():
        assert label in table
    assert f"{report.LABELS['theta']}0.25" in table
    assert f"{report.LABELS['batch_size']}17" in table
    assert "ab" * 32 in table


def test_a_setting_that_is_not_known_here_is_shown_under_its_own_name():
    document = make_document()
    document["settings"]["dropout"] = 0.125
    assert "dropout0.125" in Page(report.render(document)).text


COMMANDS = {
    "defaults": {"epochs": 500, "corpus": "time-machine", "prefixes": ("time traveller", "traveller")},
    "numbers": {"lr": 0.1, "theta": 0.5, "num_layers": 2, "model": "gru", "max_tokens": -1, "valid_fraction": 0.125},
    "flags": {"keep_punctuation": True, "keep_case": True, "clean": "letters", "sampling": "random", "device": "cpu"},
    "encoding": {"corpus": "/tmp/a.txt", "encoding": "utf-16-le"},
    "texts": {"corpus": "/tmp/a b's text.txt", "prefixes": ("-x", "", "it's", "时间", "$(rm)", "a\nb")},
}


@pytest.mark.parametrize("changes", COMMANDS.values(), ids=list(COMMANDS))
@pytest.mark.parametrize("names", [list(backends.BACKENDS), ["tensorflow", "torch"]], ids=["all", "two"])
def test_the_command_makes_the_same_comparison_again(changes, names):
    document = make_document(names, **changes)
    words = shlex.split(report.command(document))
    assert words[:2] == ["d2lrnn", "compare"]
    args = make_parser().parse_args(words[1:])
    settings = settings_of(args)
    if changes.get("corpus") == "time-machine":
        assert settings.prefixes == ()
        assert "--corpus" not in words
        settings = Settings(**{**asdict(settings), "prefixes": tuple(changes["prefixes"])})
    assert settings == Settings(**document["settings"])
    assert (args.backends or list(backends.BACKENDS)) == names
    (shown,) = (
        text for attributes, text in Page(report.render(document)).find("pre") if attributes.get("class") == "command"
    )
    assert shlex.split(shown) == words


def test_the_footer_tells_where_and_when():
    document = make_document()
    page = Page(report.render(document))
    ((_, footer),) = page.find("footer")
    environment = document["environment"]
    for name in ("d2lrnn", "python", "numpy", "platform"):
        assert str(environment[name]) in footer
    (moment,) = page.find("time")
    assert moment[0]["datetime"] == environment["finished"]
    assert datetime.fromisoformat(environment["finished"]).utcoffset() is not None
    del document["environment"]  # as in documents of earlier versions
    assert Page(report.render(document)).problems == []


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        (["same", "same"], None),
        (["abc", "abd", "abc"], 2),
        (["ab", "abc"], 2),
        (["", "a"], 0),
        (["cafe\u0301s", "cafe\u0300s"], 3),  # the accent belongs to its letter
        (["cafes", "cafe\u0301s"], 3),
        (["时间一", "时间二"], 2),
    ],
)
def test_the_first_difference_of_texts(texts, place):
    assert report.first_difference(texts) == place


def test_the_place_where_texts_differ_is_marked_in_each():
    page = Page(report.render(differing_texts()))
    texts = re.search(r'<dl class="texts">.*?</dl>', report.render(differing_texts()), re.DOTALL).group()
    assert re.findall("<mark>(.*?)</mark>", texts) == ["x", "y", "y"]
    assert "The first 12 characters are the same" in page.text
    assert "The same text in all three" in page.text  # the other prefix
    assert "What they write is the same for 1 of 2 prefixes." in page.text


def test_the_prefix_is_told_apart_as_it_was_read():
    document = make_document(prefixes=("It WAS",), corpus="time-machine")
    for row in document["backends"]:
        row["predictions"] = {"It WAS": "it was and so on"}
    content = report.render(document)
    assert '<span class="given">it was</span> and so on' in content
    assert "It WAS" in Page(content).text  # the heading has it as it was given


def test_what_is_left_out_of_the_text_is_said():
    document = make_document()
    for row in document["backends"]:
        row["corpus"] |= {"tokens": 9000, "used_tokens": 10_000, "text_tokens": 170_580}
    page = Page(report.render(document))
    lead = next(text for attributes, text in page.find("p") if attributes.get("class") == "lead")
    assert "(10,000 of 170,580 characters, 28 different)" in lead
    table = next(text for attributes, text in page.find("table") if attributes.get("class") == "settings")
    assert "Used of the text10,000 of 170,580 characters" in table


@pytest.mark.parametrize(
    ("corpus", "max_tokens", "said"),
    [
        ("time-machine", 10_000, False), ("time-machine", 500, True), ("time-machine", -1, True),
        ("/tmp/a.txt", -1, False), ("/tmp/a.txt", 10_000, True),
    ],
)  # fmt: skip
def test_the_command_says_how_much_of_the_text_is_used_where_it_is_not_the_usual(corpus, max_tokens, said):
    words = shlex.split(report.command(make_document(corpus=corpus, max_tokens=max_tokens)))
    assert ("--max-tokens" in words) == said


def test_a_space_or_an_end_can_be_the_difference():
    document = make_document(prefixes=("a",))
    for row, text in zip(document["backends"], ("a b", "ab", "a"), strict=True):
        row["predictions"] = {"a": text}
    texts = re.search(r'<dl class="texts">.*?</dl>', report.render(document), re.DOTALL).group()
    assert re.findall("<mark>(.*?)</mark>", texts) == ["␣", "b", "∎"]


def test_without_prefixes_it_says_so():
    assert "No prefix was continued." in report.render(make_document(prefixes=()))


def test_the_values_can_be_read_without_the_script():
    document = make_document()
    page = Page(report.render(document))
    perplexities, distances = (text for attributes, text in page.find("table") if attributes.get("class") == "values")
    for row in document["backends"]:
        assert f"{row['perplexity']:.3f}" in perplexities
        assert f"{row['history']['perplexity'][0]:.3f}" in perplexities
    assert format_scientific(1e-7) in distances
    for data, axis in zip(page.find("script", type="application/json"), ("epoch", "training step"), strict=True):
        values = json.loads(data[1])
        assert values["label"] == axis
        assert [curve["name"] for curve in values["curves"]] == NAMES
        assert all(len(curve["y"]) == len(values["x"]) for curve in values["curves"])


def test_a_backend_that_ended_earlier_has_no_later_values():
    page = Page(report.render(ended_early()))
    values = json.loads(page.find("script", type="application/json")[0][1])
    assert values["x"] == list(range(1, 121))
    assert values["curves"][1]["y"][29:31] == [f"{ended_early()['backends'][1]['history']['perplexity'][29]:.3f}", "–"]
