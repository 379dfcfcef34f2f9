"""The one list of settings, and what is made of it: options, help, errors, labels."""

import re
from dataclasses import fields

import numpy as np
import pytest

from d2lrnn.cli.parser import make_parser, settings_of
from d2lrnn.core.checks import check_training
from d2lrnn.errors import InputError
from d2lrnn.runs.settings import LABELS, SETTINGS, Settings


def options_of(command):
    actions = make_parser()._subparsers._group_actions[0].choices[command]._actions
    return {option: action.help for action in actions for option in action.option_strings}


def test_a_field_is_all_that_there_is_of_a_setting():
    assert list(SETTINGS) == list(LABELS) == [field.name for field in fields(Settings)]
    for setting in SETTINGS.values():
        assert setting.label
        assert f"{setting.name}: {setting.description}." in Settings.__doc__
        setting.check(setting.default)


def test_every_setting_is_an_option_with_its_help():
    trained, compared = options_of("train"), options_of("compare")
    for setting in SETTINGS.values():
        assert trained[setting.option] == setting.description
        assert (setting.option in compared) == setting.compared
    assert trained["--theta"] == "clip gradients at this norm (1)"


@pytest.mark.parametrize("command", ["train", "compare"])
def test_options_that_are_not_given_are_the_defaults(command):
    assert settings_of(make_parser().parse_args([command])) == Settings()


def test_the_radius_is_refused_in_the_same_words_everywhere(run):
    words = "a positive finite number"
    with pytest.raises(InputError, match=f"^theta must be {words}, not 0$"):
        Settings(theta=0).check()
    with pytest.raises(InputError, match=f"^theta must be {words}, not 0$"):
        check_training([], False, theta=0)
    assert f"argument --theta: expected {words}, got '0'" in run("train", "--theta", "0")[2]


BAD = {
    "num_hiddens": (0, "num_hiddens must be a whole number of at least 1, not 0"),
    "max_tokens": (0, "max_tokens must be a whole number of at least 1, or -1, not 0"),
    "valid_fraction": (float("nan"), "valid_fraction must be a number from 0 to below 1, not nan"),
    "seed": (-1, "seed must be a whole number of at least 0, not -1"),
    "clean": ("all", "unknown cleaning 'all': use one of letters, book, none"),
    "sampling": ("bootstrap", "unknown sampling 'bootstrap': use one of sequential, random"),
    "keep_case": (1, "the setting 'keep_case' must be of type bool, not 1"),
    "epochs": (2.0, "the setting 'epochs' must be of type int, not 2.0"),
    "prefixes": ("abc", "the setting 'prefixes' must be of type tuple[str, ...], not 'abc'"),
    "encoding": (3, "the setting 'encoding' must be of type str | None, not 3"),
}


@pytest.mark.parametrize(("name", "value", "message"), [(name, *bad) for name, bad in BAD.items()], ids=list(BAD))
def test_what_cannot_be_used_is_named(name, value, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Settings(**{name: value}).check()
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Settings.from_dict({name: value})


def test_numbers_of_numpy_are_numbers():
    Settings(num_hiddens=np.int64(4), lr=np.float32(0.5), keep_case=np.bool_(True)).check()
