"""A run folder: what a training leaves behind, and all that it needs to go on. No framework is imported here.

- ``config.json``: every setting, the seed, versions, the corpus's name and hash, how far the training has come, and
  the hash of each of the files below, but for the picture.
- ``vocab.json``: the tokens, in the order of their indices, and how the text became them
  (:class:`d2lrnn.data.Preparation`).
- ``weights.safetensors``: the last weights, by the names and in the layouts of :mod:`d2lrnn.weights.canonical`.
- ``best.safetensors``: those of the epoch with the best held-out perplexity, where a part of the text is held out.
- ``state.safetensors``: the epoch, and the state of the generator that draws the minibatches. Plain gradient descent
  keeps no state of its own, and each epoch begins from a hidden state of zeros, so there is nothing else.
- ``history.csv``: for each epoch its perplexity, held-out perplexity, tokens per second and gradient norm.
- ``samples.txt``: how the model continued its prefixes, as training went on.
- ``curve.png``: the curve of the perplexities.

A crash at any moment leaves the last complete state. Each new file is first written beside the old one, as
``<name>.next``, and flushed to the disk; then ``config.json``, with the hashes of the new ones, takes the place of the
old one in a single step, the commit; only then the other files move to their names. Whoever reads looks at
``config.json`` and takes of each file the version that it names, wherever that stands. Nothing here is ever a pickle.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from d2lrnn.core.backends import BACKENDS, check_name
from d2lrnn.core.history import History
from d2lrnn.data import Vocab
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError, InputFileError, StorageError
from d2lrnn.runs.environment import now
from d2lrnn.runs.folder_files import (
    MOST_VOCAB_FILE,
    State,
    dump_history,
    dump_state,
    dump_vocab,
    parse_history,
    parse_json,
    parse_random_state,
    parse_vocab,
    preparation_by_settings,
)
from d2lrnn.runs.run_config import (
    BEST,
    CONFIG,
    CURVE,
    HASHED,
    HISTORY,
    SAMPLES,
    STATE,
    VOCAB,
    WEIGHTS,
    what_is_wrong,
)
from d2lrnn.runs.settings import Settings
from d2lrnn.system import bounded, memory
from d2lrnn.system.storage import (
    explained,
    flush_folder,
    make_folder,
    make_new_folder,
    write_atomically,
    write_flushed,
)
from d2lrnn.system.wording import also, by, call
from d2lrnn.weights import canonical
from d2lrnn.weights.canonical import Weights
from d2lrnn.weights.safetensors_file import dump_tensors, parse_tensors

FORMAT = 1  # of the folder; a program that knows only smaller numbers refuses to read it
LOCK = ".lock"
NEXT = ".next"
# How many bytes a file may have: of some, whatever the run; of the others, what its configuration allows
MOST_CONFIG, MOST_SAMPLES, _MOST_STATE = 2**22, 2**26, 2**16
_ROW = 128  # bytes of a row of the history at most: four numbers of 24 digits and signs, and one of 7
_TOKEN = 64  # bytes of a token of the vocabulary, of the longest on average
_HEADER = 2**12, 2**8  # bytes of what safetensors says of a file, and of each of its arrays
_READ_ATTEMPTS = 20  # while another process goes on writing


def is_of_a_run(path: Path) -> bool:
    """Tell whether a file is one of those that a run folder consists of, which nothing else must take the place of."""
    return (path.parent / CONFIG).exists() and path.name.removesuffix(NEXT) in (*HASHED, CONFIG, LOCK)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _config_digest(config: Mapping[str, Any]) -> str:
    """Return the hash of a configuration's values, whatever its spaces and line breaks."""
    values = {name: value for name, value in config.items() if name != "sha256"}
    return _sha256(json.dumps(values, sort_keys=True).encode())


@dataclass
class RunFolder:
    """A run folder, read and verified when it is opened.

    Attributes:
        path: Where it is.
        config: What ``config.json`` holds.
        settings: The settings of the run.
        vocab: The vocabulary.
        state: Where training has come to; None before its first checkpoint.
    """

    path: Path
    config: dict[str, Any]
    settings: Settings
    vocab: Vocab
    state: State | None
    _lock: filelock.BaseFileLock | None = field(default=None, repr=False)
    _place: list[tuple[int, int]] = field(default_factory=list, repr=False)  # what was locked: folder and file
    _history: tuple[History, bytes] | None = field(default=None, repr=False)  # the last one, and its file's content
    _made: bool = field(default=False, repr=False)  # whether the folder was not there
    _written: tuple[Any, ...] = field(default=(), repr=False)  # the hashes that config.json may have, once it is there

    # Reading

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Read and verify a run folder, and change nothing in it. Another process may be training in it.

        Raises:
            InputFileError: If there is no such folder, or it is not of a run.
            InputError: If it is damaged, or was written by a newer version.
            StorageError: If the disk does not let it be read.
        """
        path = Path(path)
        for _ in range(_READ_ATTEMPTS):
            config = _read_config(path)
            try:
                return cls._open(path, config)
            except InputError:
                if _read_config(path) == config:
                    raise
            time.sleep(0.01)  # a checkpoint was committed while the files were read
        raise InputError(f"{str(path)!r} changes faster than it can be read: try again")

    @classmethod
    def _open(cls, path: Path, config: dict[str, Any]) -> RunFolder:
        names = {name: repr(str(path / name)) for name in HASHED}
        try:
            settings = Settings.from_dict(config.get("settings"))
        except InputError as error:
            raise InputError(f"{str(path / CONFIG)!r} has settings that cannot be used: {error}") from None
        most = _most_bytes(config, settings)
        contents = {name: _read_part(path, name, config["files"][name], most[name]) for name in config["files"]}
        vocab = parse_vocab(contents[VOCAB], names[VOCAB])
        if vocab.preparation is None:
            vocab.preparation = preparation_by_settings(config, settings)
        folder = cls(path, config, settings, vocab, None)
        if len(vocab) != config["vocab_size"]:
            raise InputError(
                f"{names[VOCAB]} has {len(vocab)} tokens, and the run's model is for {config['vocab_size']}: it is "
                "the vocabulary of another run"
            )
        if WEIGHTS not in contents:
            return folder
        history = parse_history(contents[HISTORY], names[HISTORY])
        if len(history) != config["epoch"]:
            raise InputError(f"{names[HISTORY]} has {len(history)} epochs, and {CONFIG} says {config['epoch']}")
        random_state = parse_random_state(parse_tensors(contents[STATE], names[STATE]), len(history), names[STATE])
        weights, best = (
            folder._parse_weights(contents[name], names[name]) if name in contents else None for name in (WEIGHTS, BEST)
        )
        assert weights is not None  # it is in contents
        samples = contents.get(SAMPLES, b"").decode("utf-8", "replace")
        folder.state = State(weights, history, random_state, best, samples)
        return folder

    def _parse_weights(self, content: bytes, name: str) -> Weights:
        weights = parse_tensors(content, name)
        settings, dtype = self.settings, BACKENDS[check_name(self.backend)].dtype
        shapes = canonical.shapes(settings.model, len(self.vocab), settings.num_hiddens, settings.num_layers)
        try:
            canonical.check_weights(weights, shapes)
        except InputError as error:
            raise InputError(f"{name} does not fit the model that {CONFIG} describes: {error}") from None
        for key, value in weights.items():
            if value.dtype != dtype or not np.isfinite(value).all():
                raise InputError(f"{name} has a weight {key!r} that is not {dtype} and finite")
        return weights

    @property
    def backend(self) -> str:
        """The backend that trains this run."""
        return str(self.config["backend"])

    @property
    def status(self) -> str:
        """How the training stands: one of :data:`d2lrnn.runs.run_config.STATUSES`."""
        return str(self.config["status"])

    @property
    def epoch(self) -> int:
        """The epochs trained so far."""
        return 0 if self.state is None else len(self.state.history)

    def trained(self) -> State:
        """Return the state of a run that has one.

        Raises:
            InputError: If the run has not come to its first checkpoint yet.
        """
        if self.state is None:
            diverged = self.status == "diverged"
            why = "diverged in its first epoch" if diverged else "ended before its first checkpoint"
            if self.status == "failed":
                reason = self.config.get("error", "nobody knows why")
                raise InputError(
                    f"the run in {str(self.path)!r} has no weights, for it failed before its first checkpoint "
                    f"({reason}): train anew, with {by('out', str(self.path))} if you like"
                )
            how = call("resume", str(self.path), **({"lr": ...} if diverged else {}))
            how += ", with a smaller learning rate" if diverged else ""
            raise InputError(f"the run in {str(self.path)!r} has no weights yet: it {why}; go on with {how}")
        return self.state

    def weights(self, best: bool = False) -> Weights:
        """Return the last weights, or the best on held-out text.

        Raises:
            InputError: If there are none.
        """
        state = self.trained()
        if not best:
            return state.weights
        if state.best is None:
            raise InputError(
                f"the run in {str(self.path)!r} has no best weights: it held no text out "
                f"(valid_fraction{also('valid_fraction', form=', {}')})"
            )
        return state.best

    # Writing

    @classmethod
    def reopen(cls, path: str | Path) -> RunFolder:
        """Open a run folder to go on with it, and lock it until :meth:`close`.

        Raises:
            InputError: As :meth:`open`, and if another process is at work in it.
            StorageError: If it cannot be read or written.
        """
        return cls.open(path).take()  # before the lock makes a file in a folder that is no run

    def take(self) -> RunFolder:
        """Lock a run folder that has been read, until :meth:`close`, and return it as it now is.

        It is read again only if another process has gone on with it since.

        Raises:
            InputError: If another process is at work in it, or has damaged it.
            StorageError: If it cannot be written.
        """
        self.lock()
        try:
            now = self if _read_config(self.path) == self.config else type(self).open(self.path)
            now._lock, now._place, now._written = self._lock, self._place, (now.config.get("sha256"),)
            now.finish()
        except BaseException:
            self.close()
            raise
        return now

    @classmethod
    def create(
        cls, path: str | Path, config: Mapping[str, Any], settings: Settings, vocab: Vocab, *, numbered: bool = False
    ) -> RunFolder:
        """Make a run folder, with no state yet, and lock it until :meth:`close`.

        A run that has no weights yet, because it failed or was killed before its first checkpoint, has nothing to lose:
        the new one takes its folder over.

        Args:
            path: Where; the folder must be empty, have such a run in it, or not be there.
            config: What to record beside the settings: the backend, versions, the corpus.
            settings: The settings of the run.
            vocab: Its vocabulary.
            numbered: Make a folder that was not there, with a number behind its name if the name is taken.

        Raises:
            InputError: If the folder holds something already, or is in use by another process.
            StorageError: If it cannot be written.
        """
        path = Path(path)
        what, advice = f"cannot make the run folder {str(path)!r}", f"name another one{also('out', form=' with {}')}"
        made = numbered or not os.path.lexists(path)
        if numbered:
            path = make_new_folder(path, what, advice)
        else:
            make_folder(path, what, advice)
        cls._check_free(path, what, advice)  # before the lock makes a file in a folder that is somebody else's
        folder = cls(path, {}, settings, vocab, None)
        folder._made = made
        folder.lock()
        try:
            cls._check_free(path, what, advice)  # another process may have been before this one
            folder.config = {
                "format": FORMAT,
                **config,
                "status": "unfinished",
                "epoch": 0,
                "settings": settings.to_dict(),
                "vocab_size": len(vocab),
                "files": {},
            }
            folder._commit({VOCAB: dump_vocab(vocab)})
        except BaseException as error:
            # Where another process was before this one, what is there is none of ours
            if folder.config or (made and not isinstance(error, InputError)):
                folder.discard()
            folder.close()
            raise
        return folder

    @classmethod
    def _check_free(cls, path: Path, what: str, advice: str) -> None:
        """Check that there is nothing in a folder but, perhaps, a run that has no weights yet."""
        with explained(what, advice):
            found = sorted(entry.name for entry in path.iterdir())
        if CONFIG in found and not cls._has_nothing_to_lose(path):
            raise InputError(
                f"there is a run in {str(path)!r} already: go on with {call('resume', str(path))}, or name "
                "another folder"
            )
        own = (LOCK, CONFIG, VOCAB, CURVE) if CONFIG in found else (LOCK,)
        if foreign := [name for name in found if name not in own and not name.endswith(NEXT)]:
            raise InputError(f"the folder {str(path)!r} is not empty (there is {foreign[0]!r} in it): {advice}")

    @staticmethod
    def _has_nothing_to_lose(path: Path) -> bool:
        try:
            return set(_read_config(path)["files"]) == {VOCAB}
        except InputError:  # damaged, or written by a newer version: whose it is cannot be told
            return False

    def discard(self) -> None:
        """Remove what :meth:`create` has made, where nothing was trained: the files, and the folder if it made that."""
        if os.name == "nt":  # where what is open cannot be removed
            self.close()
        elif not self._is_held():
            return
        with contextlib.suppress(OSError):  # whoever put something else into it keeps it
            for left in self.path.glob(f"*{NEXT}"):
                left.unlink()
            for name in (CONFIG, VOCAB, LOCK):
                (self.path / name).unlink(missing_ok=True)
            if self._made:
                self.path.rmdir()

    def lock(self) -> None:
        """Keep other processes from writing into the folder, until :meth:`close` or the end of this process.

        Raises:
            InputError: If another process has done so.
            StorageError: If the folder cannot be written.
        """
        lock = filelock.FileLock(self.path / LOCK, timeout=0)
        with explained(f"cannot write into {str(self.path)!r}", "check who owns the folder, and the space left"):
            try:
                lock.acquire()
            except filelock.Timeout:
                raise InputError(
                    f"another process is at work in {str(self.path)!r}: wait until it has finished, or name "
                    "another folder"
                ) from None
            except NotImplementedError:
                raise InputError(f"the disk of {str(self.path)!r} cannot lock files: use another one") from None
            self._lock = lock
            self._place = self._identity()

    def _identity(self) -> list[tuple[int, int]]:
        """Return by which numbers the system knows the folder at the path, and the lock in it."""
        found = (os.stat(path) for path in (self.path, self.path / LOCK))  # noqa: PTH116 (one call for both)
        return [(entry.st_dev, entry.st_ino) for entry in found]

    def _is_held(self) -> bool:
        """Tell whether what is at the path is still the folder that was locked, with the run that was written into it.

        A lock is on a file, whatever its name. If somebody removes the folder and makes a new one of the same name, the
        old lock keeps nobody out of it. (Some disks have no numbers for files: there they are all 0, and the hash of
        the configuration alone tells.)
        """
        if self._lock is None:
            return False
        with explained(f"cannot read {str(self.path)!r}", "check who owns it"):
            try:
                same = self._identity() == self._place
                content = (
                    bounded.read_file(self.path / CONFIG, MOST_CONFIG, "a configuration has at most")
                    if same and self._written
                    else b""
                )
            except (FileNotFoundError, NotADirectoryError):
                return False
        if not same or not self._written:
            return same
        try:
            config = json.loads(content)
        except (ValueError, RecursionError):
            return True  # damaged, which reading it will say
        return not isinstance(config, dict) or "sha256" not in config or config["sha256"] in self._written

    def close(self) -> None:
        """Let other processes write into the folder again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def save(self, state: State, status: str, error: str | None = None, **changes: Any) -> None:
        """Commit a state.

        Args:
            state: The state.
            status: One of :data:`d2lrnn.runs.run_config.STATUSES`.
            error: What ended the training, in words, if something did.
            **changes: What else changes in ``config.json``.

        Raises:
            StorageError: If it cannot be written; the folder then holds the state before it.
            InputError: If the folder was damaged meanwhile.
        """
        config = {**self._with_status(status, error), **changes, "epoch": len(state.history)}
        config["settings"] = self.settings.to_dict()
        before, self.config = self.config, config
        state_before, self.state = self.state, state
        try:
            self._commit(self._parts(state))
        except BaseException:
            self.config, self.state = before, state_before
            raise

    def _parts(self, state: State) -> dict[str, bytes]:
        """Return the content of the files that a state is in."""
        kind = self.settings.model
        parts = {WEIGHTS: dump_tensors(state.weights, kind), STATE: dump_state(state)}
        parts[HISTORY] = dump_history(state.history, self._history)
        self._history = (state.history.copy(), parts[HISTORY])
        if state.best is not None:
            parts[BEST] = dump_tensors(state.best, kind)
        if state.samples:
            parts[SAMPLES] = state.samples.encode()[-MOST_SAMPLES:]
        return parts

    def mark(self, status: str, error: str | None = None) -> None:
        """Commit another status, and the words of the error that led to it, and nothing else.

        Raises:
            StorageError: If it cannot be written.
            InputError: If the folder was damaged meanwhile.
        """
        self.config = self._with_status(status, error)
        self._commit({})

    def _with_status(self, status: str, error: str | None) -> dict[str, Any]:
        config = {name: value for name, value in self.config.items() if name != "error"}
        return {**config, "status": status, **({} if error is None else {"error": error})}

    def draw(self, picture: bytes) -> None:
        """Write the picture of the run's curve, which is no part of its state.

        Raises:
            StorageError: If it cannot be written.
            InputError: If the folder is not there any more.
        """
        if self._is_held():
            write_atomically(self.path / CURVE, picture)

    def _move(self) -> None:
        """Take another folder, with a number behind the name, because this one was removed, moved or replaced.

        What is at the old path is somebody else's now.
        """
        gone, self.path = self.path, make_new_folder(
            self.path, f"the run folder {str(self.path)!r} is gone, and no other one can be made beside it",
            "make the folder above it anew, or check who owns it", begin=2,
        )  # fmt: skip
        self.close()
        self.lock()
        self._written = ()
        warnings.warn(
            f"the folder {str(gone)!r} was removed, moved or replaced while this run was at work in it: the run is "
            f"kept in {str(self.path)!r} from here on",
            D2LRNNWarning,
            stacklevel=2,
        )

    def _commit(self, parts: Mapping[str, bytes]) -> None:
        while not self._try_commit(parts):
            self._move()
            # All of the run, and not only what has changed
            state = {} if self.state is None else self._parts(self.state)
            parts = {VOCAB: dump_vocab(self.vocab), **state, **parts}

    def _try_commit(self, parts: Mapping[str, bytes]) -> bool:
        """Commit, unless the folder is not the one that was locked any more; return whether it was."""
        if not self._is_held():
            return False
        before = self.finish()
        files = dict(before)
        for name, content in parts.items():
            files[name] = {"sha256": _sha256(content), "bytes": len(content)}
        config = {**self.config, "files": files, "saved": now()}
        config["sha256"] = _config_digest(config)
        content = json.dumps(config, ensure_ascii=False, indent=2).encode() + b"\n"
        changed = [name for name in parts if files[name] != before.get(name)]
        where = f"cannot save into {str(self.path)!r}"
        with explained(where, "free some space or check who owns the folder; what was saved before is still there"):
            try:
                for name in changed:
                    write_flushed(self.path / (name + NEXT), parts[name])
                write_flushed(self.path / (CONFIG + NEXT), content)
                flush_folder(self.path)
                if not self._is_held():  # it took a while to write all that
                    return False
                # Both may be there until it is done, after Ctrl-C too
                self._written = (*self._written, config["sha256"])
                os.replace(self.path / (CONFIG + NEXT), self.path / CONFIG)  # noqa: PTH105 (this is the commit)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and not self._is_held():
                    return False
                # A full disk. (After Ctrl-C nobody knows whether the commit came to pass: the files must stay.)
                for name in [*changed, CONFIG]:
                    with contextlib.suppress(OSError):
                        (self.path / (name + NEXT)).unlink()
                raise
        self.config, self._written = config, (config["sha256"],)
        self.finish()
        return True

    def finish(self) -> dict[str, Any]:
        """Move the files of the last commit to their names, and remove those of one that did not come to pass.

        The folder must be locked.

        Returns:
            The hashes of the files of the last commit.

        Raises:
            StorageError: If they cannot be moved.
            InputError: If the configuration was damaged meanwhile.
        """
        # As it stands on the disk: Ctrl-C may have come just after a commit
        files: dict[str, Any] = _read_config(self.path)["files"] if (self.path / CONFIG).exists() else {}
        with explained(f"cannot write into {str(self.path)!r}", "check who owns the folder"):
            for name, expected in files.items():
                waiting = self.path / (name + NEXT)
                if waiting.is_file() and bounded.digest(waiting, "sha256") == expected["sha256"]:
                    os.replace(waiting, self.path / name)  # noqa: PTH105
            for left in self.path.glob(f"*{NEXT}"):
                left.unlink()
            flush_folder(self.path)
        return files


def _read_config(path: Path) -> dict[str, Any]:
    """Read and check a folder's ``config.json``."""
    name = repr(str(path / CONFIG))
    advice = f"name a folder that {call('train')} has written"
    try:
        content = bounded.read_file(path / CONFIG, MOST_CONFIG, "a configuration has at most")
    except bounded.TooLarge as error:
        raise InputError(f"{error}: {advice}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NOT_THERE:
            raise _unreadable(path / CONFIG, error) from None
        there = os.path.lexists(path)
        what = f"there is no {CONFIG} in it that can be read" if there else "there is no such folder"
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"{str(path)!r} is not a run folder: {what} ({reason}); {advice}") from None
    config = parse_json(content, name)
    if not (isinstance(config, dict) and type(config.get("format")) is int and config["format"] >= 0):
        raise InputError(f"{name} is not of a run: {advice}")
    if config["format"] > FORMAT:
        raise InputError(
            f"{name} was written by a newer d2lrnn (it has format {config['format']!r:.20}, and this one reads format "
            f"{FORMAT}): upgrade d2lrnn"
        )
    if config.get("sha256") != _config_digest(config):
        raise InputError(
            f"{name} is damaged or was edited: its values do not have the hash that stands in it; restore it from a "
            "copy, or train anew"
        )
    # The hash holds: whatever is wrong from here on was written so on purpose
    if found := what_is_wrong(config):
        raise InputError(f"{name} cannot be used: {found}; {advice}")
    return config


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot read {str(path)!r}: {error.strerror or error}; check who owns it, and whether its disk is well",
        error.errno,
    )


def _most_bytes(config: Mapping[str, Any], settings: Settings) -> dict[str, int]:
    """Return how many bytes each file of a run may have, by what its configuration says.

    Raises:
        NotEnoughMemoryError: If this machine has no place for the weights.
    """
    model = (settings.model, config["vocab_size"], settings.num_hiddens, settings.num_layers)
    numbers = canonical.num_weights(*model)
    arrays = 5 * settings.num_layers + 2
    weights = 8 * numbers + _HEADER[0] + _HEADER[1] * arrays  # in float64 at most
    if numbers > _LARGE:
        what = f"a run of {settings.num_layers} x {settings.num_hiddens:,} units"
        # In float32 at least, and its bytes and its arrays are there at the same time
        memory.check(2 * 4 * numbers, what, "read it on a machine that has more")
    return {
        VOCAB: min(MOST_VOCAB_FILE, _HEADER[0] + _TOKEN * config["vocab_size"]),
        WEIGHTS: weights,
        BEST: weights,
        STATE: _MOST_STATE,
        HISTORY: _HEADER[0] + _ROW * config["epoch"],
        SAMPLES: MOST_SAMPLES,
    }


_LARGE = 2**24  # weights; of fewer every machine has place


def _read_part(path: Path, name: str, expected: Mapping[str, Any], most: int) -> bytes:
    """Return the content of a file, in the version that the configuration names, if it has no more than ``most`` bytes.

    Raises:
        InputError: If it is missing or damaged, or there is something else in its place.
        StorageError: If the disk does not let it be read.
    """
    found = []
    unreadable: D2LRNNError | None = None
    for candidate in (path / name, path / (name + NEXT)):
        try:
            content = bounded.read_file(candidate, most, "")
        except bounded.TooLarge as error:
            found.append(f"{error.size:,} bytes where {CONFIG} allows {most:,} at most")
            continue
        except OSError as error:
            if error.errno not in _NOT_THERE:
                unreadable = _unreadable(candidate, error)
            elif isinstance(error, bounded.NotRegular) or error.errno == errno.ELOOP:
                unreadable = InputError(
                    f"{str(candidate)!r} cannot be read ({error.strerror}): put the file itself there, as the run "
                    "wrote it"
                )
            elif not isinstance(error, FileNotFoundError):
                found.append(error.strerror or type(error).__name__)
            continue
        if _sha256(content) == expected["sha256"]:
            return content
        found.append(f"{len(content)} bytes where {expected.get('bytes')!r:.20} were written, or changed ones")
    if unreadable is not None:
        raise unreadable
    what = f"is damaged ({found[0]})" if found else "is missing"
    raise InputError(f"{str(path / name)!r} {what}: restore it from a copy of the folder, or train anew")
