"""Libraries that a framework leaves to the system: which of them are missing, and how to get them.

The commands of a clone ask before anything is installed, so this needs Python's own library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path

# In which package a system has a library that frameworks leave to it. A system is one of these, or like one of these,
# by its file os-release: Ubuntu is like Debian, Red Hat and Amazon like Fedora.
_INSTALL = {"debian": "apt install", "fedora": "dnf install", "suse": "zypper install", "arch": "pacman -S"}
_PACKAGES = {
    "libgomp.so.1": {"debian": "libgomp1", "fedora": "libgomp", "suse": "libgomp1", "arch": "gcc-libs"},
    "libquadmath.so.0": {"debian": "libquadmath0", "fedora": "libquadmath", "suse": "libquadmath0", "arch": "gcc-libs"},
    "libstdc++.so.6": {"debian": "libstdc++6", "fedora": "libstdc++", "suse": "libstdc++6", "arch": "gcc-libs"},
    "libgcc_s.so.1": {"debian": "libgcc-s1", "fedora": "libgcc", "suse": "libgcc_s1", "arch": "gcc-libs"},
}
# Those that no system has by itself, by the beginnings of their names
CUDA = ("libcu", "libnccl", "libnv")
_OTHERS = {
    ("libarmpl", "libamath", "libastring"): "install Arm Performance Libraries, from developer.arm.com",
    CUDA: "install NVIDIA's driver and the CUDA that this build is for, or a build for the CPU",
}

# On what there are wheels of MXNet 1.9.1
_WITH_MXNET = {"Linux": ("x86_64", "aarch64"), "Darwin": ("x86_64",)}
# What those for Linux leave to the system
_OF_MXNET = {
    "x86_64": ("libgomp.so.1", "libquadmath.so.0"),
    "aarch64": ("libgomp.so.1", "libarmpl_lp64_mp.so", "libamath.so", "libastring.so"),
}

_LOADERS_LIST = Path("/etc/ld.so.cache")

# What the loader of each system says when it finds no library
_LINUX_LACKS = re.compile(r"([^\s:']+\.so[.\d]*): cannot open shared object file")
_MAC_LACKS = re.compile(r"Library not loaded: (\S+)")
_WINDOWS_LACKS = re.compile(r"DLL load failed|WinError 126")


def is_musl() -> bool:
    """Whether this is a Linux with another C library than nearly all have: Alpine."""
    return "musl" in str(sysconfig.get_config_var("SOABI"))


def _is_there(library: str) -> bool:
    # The system's own list first: to load a library is to run it, and OpenMP's reads its number of threads then
    with contextlib.suppress(OSError):
        if library.encode() + b"\0" in _LOADERS_LIST.read_bytes():
            return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def of_mxnet() -> tuple[str, ...]:
    """Return the libraries that MXNet's wheel for this machine leaves to the system."""
    return _OF_MXNET.get(platform.machine(), ()) if platform.system() == "Linux" else ()


def no_build_of_mxnet() -> str | None:
    """Say for which machine there is no wheel of MXNet 1.9.1, its last release, or return None if this has one."""
    system, processor = platform.system(), platform.machine()
    if system == "Linux" and is_musl():
        return "MXNet has no build for Linux with musl (Alpine): use one with glibc, such as Debian"
    if processor in _WITH_MXNET.get(system, ()):
        return None
    where = {("Windows", processor): "Windows", ("Darwin", "arm64"): "Apple silicon"}
    return (
        f"MXNet 1.9.1 has no build for {where.get((system, processor), f'{system} on {processor}')}: "
        "use Linux on x86-64 or Arm (a container, WSL or Colab) for this backend"
    )


def lack_of_mxnet() -> str | None:
    """Say which libraries of the system MXNet would miss here and how to get them, or return None."""
    absent = missing(of_mxnet())
    return lack("MXNet", absent) if absent else None


def missing(libraries: Sequence[str]) -> list[str]:
    """Return those of some libraries that this Linux has not."""
    return [library for library in libraries if not _is_there(library)]


def _system() -> str | None:
    """Return which of the systems in :data:`_INSTALL` this is, or is like."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((known for name in names for known in _INSTALL if known in name), None)


def remedy(libraries: Sequence[str]) -> str:
    """Return how to get libraries that are missing on this Linux.

    Args:
        libraries: As the loader names them, such as ``libgomp.so.1``.
    """
    others = {library: how for begins, how in _OTHERS.items() for library in libraries if library.startswith(begins)}
    system, of_system = _system(), [library for library in libraries if library not in others]
    hows = list(dict.fromkeys(others.values()))
    if system is not None and set(of_system) <= set(_PACKAGES):
        packages = dict.fromkeys(_PACKAGES[library][system] for library in of_system)
        return "; ".join(([f"{_INSTALL[system]} {' '.join(packages)}"] if packages else []) + hows)
    return "; ".join((["install the packages that contain them"] if of_system else []) + hows)


def what_an_import_lacks(
    title: str, error: BaseException, others: Sequence[str] = (), own: tuple[str, ...] = ()
) -> str | None:
    """Return what to do about an import that failed for want of a system's library, or None if it failed otherwise.

    Args:
        title: Whose import.
        error: What was raised.
        others: Libraries that it needs too. The loader names the first that is missing, and they may all be.
        own: How the names of those begin that its wheels bring along. It is not for the system to have them.
    """
    said = str(error)
    if (found := _LINUX_LACKS.search(said)) is not None:
        if own and found[1].startswith(own):
            return None
        return lack(title, list(dict.fromkeys([found[1], *missing(others)])))
    if (found := _MAC_LACKS.search(said)) is not None:
        name = Path(found[1]).name
        how = "brew install libomp" if name == "libomp.dylib" else "find out with brew which formula has it"
        return f"{title} needs {name}, which is not on this Mac: {how}"
    if _WINDOWS_LACKS.search(said):
        return (
            f"{title} needs Microsoft's C++ runtime, which is not on this machine or too old: "
            "https://aka.ms/vs/17/release/vc_redist.x64.exe"
        )
    return None


def lack(title: str, libraries: Sequence[str]) -> str:
    """Return a sentence that names missing libraries and their remedy."""
    *first, last = libraries
    named = f"{', '.join(first)} and {last}" if first else last
    return f"{title} needs {named}, which {'are' if first else 'is'} not on this system: {remedy(libraries)}"
