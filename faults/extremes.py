"""Sizes and numbers at the ends of what can be typed."""

from __future__ import annotations

from itertools import product

from place import TINY, Place, fault

SIZES, NUMBERS = "sizes", "numbers"


@fault(SIZES, "layers and units that no memory holds", quick=True)
def _(place: Place) -> None:
    for words in (["--num-hiddens", "1000000"], ["--num-hiddens", str(10**9)], ["--num-hiddens", str(10**18)],
                  ["--num-hiddens", str(10**40)], ["--model", "lstm", "--num-layers", "100000"],
                  ["--model", "gru", "--num-layers", str(10**9)], ["--batch-size", str(10**12)],
                  ["--num-steps", str(10**12)]):  # fmt: skip
        train = ("train", "--backend", "numpy", *TINY, "--epochs", "1")
        outcome = place.refused(place.run(*train, *words, limit=60))
        place.must(outcome.seconds < 30, f"{' '.join(words)} is refused after {outcome.seconds:.0f} s")


@fault(SIZES, "a text of one character, of one word, of nothing", quick=True)
def _(place: Place) -> None:
    for number, text in enumerate(("", "\n", "a", "the", "a" * 10_000, "the sea " * 3)):
        (place.folder / f"{number}.txt").write_text(text)
        place.run("train", "--backend", "numpy", *TINY[2:], "--corpus", f"{number}.txt", "--epochs", "1")


for _where, _counts, _rates in (
    ("in NumPy", (str(2**63), str(10**30), "-1", "1.5"),
     ("5e-324", "1e-320", "1e-45", "1e38", "1e39", "1e300", "1e308", "inf", "nan", "-1", "0", "1e400")),
    ("in every backend", (str(2**63), str(10**30)), ("5e-324", "1e-320", "1e39", "1e308")),
):  # fmt: skip
    _quick = _where == "in NumPy"

    @fault(SIZES, f"how many characters to add, {_where}", quick=_quick)
    def _(place: Place, quick: bool = _quick, counts: tuple[str, ...] = _counts) -> None:
        run = place.trained("run")
        for name, number in product(("numpy",) if quick else place.usable, counts):
            place.refused(place.run("predict", run, "--num-preds", number, "--backend", name, limit=60))

    @fault(NUMBERS, f"learning rates and radii {_where}", quick=_quick)
    def _(place: Place, quick: bool = _quick, rates: tuple[str, ...] = _rates) -> None:
        names = ("numpy",) if quick else place.usable
        for name, option, value in product(names, ("--lr", "--theta"), rates):
            place.run("train", "--backend", name, *TINY, "--epochs", "2", option, value)


@fault(NUMBERS, "seeds, parts and temperatures", quick=True)
def _(place: Place) -> None:
    for option, value in (("--seed", str(2**64)), ("--seed", str(10**50)), ("--seed", "-1"), ("--valid-fraction", "1"),
                          ("--valid-fraction", "0.9999"), ("--valid-fraction", "nan"), ("--patience", "0"),
                          ("--max-tokens", "0"), ("--max-tokens", "-2"), ("--max-tokens", "2"),
                          ("--threads", str(10**9)), ("--epochs", "0")):  # fmt: skip
        place.run("train", "--backend", "numpy", *TINY, "--epochs", "1", option, value)
    run = place.trained("run")
    for option, value in (("--temperature", "5e-324"), ("--temperature", "1e308"), ("--temperature", "nan"),
                          ("--top-k", "0"), ("--top-k", str(10**30)), ("--seed", str(10**50))):  # fmt: skip
        place.run("predict", run, "--temperature", "1", option, value)


@fault(NUMBERS, "variables that are no numbers", quick=True)
def _(place: Place) -> None:
    for value in ("abc", "-1", "0", str(10**30), ""):
        env = {"OMP_NUM_THREADS": value}
        place.run("train", "--backend", "numpy", *TINY, "--epochs", "1", env=env)
    place.run("backends", env={"OMP_NUM_THREADS": "abc"})
    for name, value in (
        ("COLUMNS", "-5"),
        ("COLUMNS", "0"),
        ("LANG", "no"),
        ("PYTHONIOENCODING", "ascii"),
        ("TERM", "x"),
    ):
        place.run("compare", "--backends", "numpy", *TINY, "--epochs", "1", env={name: value})
