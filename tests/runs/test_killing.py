"""A training that is killed resumes to what it would have been; ``killing.py`` does this many times over."""

import random

import pytest
from killing import MOVING, WRITING, differences, kill_at_commit, kill_often, run, train_command


def test_a_killed_training_resumes_to_the_uninterrupted_one(backend, tmp_path):
    # With random sampling there is more to go on with: the generator's state
    kills, found = kill_often(backend.name, "random", 1, 15, tmp_path, random.Random(1))
    assert found == [[]], kills


@pytest.mark.parametrize(("moment", "met"), [("before", WRITING), ("after", MOVING)])
def test_a_commit_that_is_under_way_is_met_and_lost_without_a_trace(moment, met, tmp_path):
    run(train_command("numpy", "random", 3, tmp_path / "whole"))
    kill = kill_at_commit(3, moment, "numpy", "random", 3, tmp_path / "killed")  # that of the second epoch
    assert (kill.met, kill.epoch) == (met, 1)
    assert differences(tmp_path / "killed", tmp_path / "whole") == []


def test_runs_of_another_seed_are_seen_to_differ(backend, tmp_path):
    for name, seed in (("one", "7"), ("other", "8")):
        command = train_command(backend.name, "sequential", 1, tmp_path / name)
        run([*command, "--seed", seed, "--num-hiddens", "8"])
    assert differences(tmp_path / "one", tmp_path / "one") == []
    assert set(differences(tmp_path / "one", tmp_path / "other")) == {
        "weights.safetensors", "best.safetensors", "state.safetensors", "samples.txt", "history.csv",
    }  # fmt: skip
