"""A training that is killed resumes to what it would have been; ``killing.py`` does this many times over."""

import random

from killing import WRITING, differences, kill_and_resume, kill_often, run, train_command


def test_a_killed_training_resumes_to_the_uninterrupted_one(backend, tmp_path):
    # With random sampling there is more to go on with: the generator's state
    kills, found = kill_often(backend.name, "random", 1, 15, tmp_path, random.Random(1))
    assert found == [[]], kills


def test_a_commit_that_is_under_way_is_met_and_lost_without_a_trace(tmp_path):
    """A kill that waits for a commit meets one, as a rule at once; a busy machine may need some more tries."""
    run(train_command("numpy", "random", 4, tmp_path / "whole"))
    for number in range(10):
        out = tmp_path / str(number)
        kill = kill_and_resume("numpy", "random", 4, out, 0.0, aim=0.0)
        if kill is not None:
            assert differences(out, tmp_path / "whole") == []
            if kill.met == WRITING:
                break
    else:
        raise AssertionError("no kill met a commit")


def test_runs_of_another_seed_are_seen_to_differ(backend, tmp_path):
    for name, seed in (("one", "7"), ("other", "8")):
        command = train_command(backend.name, "sequential", 1, tmp_path / name)
        run([*command, "--seed", seed, "--num-hiddens", "8"])
    assert differences(tmp_path / "one", tmp_path / "one") == []
    assert set(differences(tmp_path / "one", tmp_path / "other")) == {
        "weights.safetensors", "best.safetensors", "state.safetensors", "samples.txt", "history.csv",
    }  # fmt: skip
