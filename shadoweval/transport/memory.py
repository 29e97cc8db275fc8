"""Where a home's shared memory lies: a folder in /dev/shm, which is memory and outlives the processes that write there.

`/dev/shm/shadoweval-USER/HOME/`, both 0700 and this user's. HOME is a digest of this boot and of the device and number
of the home's folder of spools: whatever path leads there, it is this home's, and nobody else's.

| file | |
|---|---|
| `PROCESS.counts` | what a process counted (`transport.pages`) |
| `PROCESS.NUMBER.ring` | frames that it handed over (`transport.ring`) |
| `lock` | held by whoever reads all of it: the home's collector, or who adopts it for a moment |
| `starting` | a collector has just been started |
| `sums` | what processes that are gone had counted (`transport.sums`) |
| `home` | which home it is |
| `held/` | frames that their spool does not take now |
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from shadoweval.private import open_private, private_folder, write_private

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None

__all__ = [
    "allocated",
    "fresh_memory",
    "memory_of",
    "readers_lock",
    "release",
    "spare",
    "spared",
    "start_of",
    "sweep_away",
    "this_space",
    "watched",
]

SHM: Final = Path("/dev/shm")  # noqa: S108 - a folder of this user alone is made there, and checked
_LEFT: Final = 32
"""Descriptors that are left to the application."""
_FORGOTTEN: Final = 86_400
_SHARE: Final = 8
"""A file takes at most this part of the memory that is free there: others have their files there too."""
_locks: Final[set[int]] = set()


def allocated(path: str, size: int) -> int:
    """A descriptor of a new file of zeros, whose memory is there already: no store into it can fail.

    Raises:
        OSError: there is no room, or too few descriptors are left.
    """
    descriptor = spared(open_private(path, os.O_RDWR | os.O_EXCL))
    try:
        _affordable(os.fstatvfs(descriptor), size)
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.unlink(path)  # noqa: PTH108 - a forked job pays for each function that it runs
        os.close(descriptor)
        raise
    return descriptor


def spare() -> None:
    """See that files may be opened.

    Raises:
        OSError: only the application's last descriptors are left.
    """
    if resource is not None:
        os.close(spared(os.open("/", os.O_RDONLY | os.O_CLOEXEC)))


def _affordable(system: os.statvfs_result, size: int) -> None:
    if system.f_blocks and size > system.f_bavail * system.f_frsize // _SHARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def spared(descriptor: int) -> int:
    """The descriptor, unless it is one of the last that this process may have: those are the application's.

    Raises:
        OSError: it is, and is closed.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource is not None else -1
    if 0 <= most - _LEFT <= descriptor:
        os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return descriptor


def _user() -> Path:
    """This user's folder.

    Raises:
        OSError: there is no shared memory, or somebody else made that folder.
    """
    state = os.stat(SHM)  # noqa: PTH116 - on the request path
    if os.major(state.st_dev) or state.st_dev == os.stat("/").st_dev:  # noqa: PTH116
        raise OSError(errno.ENODEV, "it is a folder on a disk", str(SHM))
    return SHM / f"shadoweval-{os.geteuid()}"


def _ours(folder: Path) -> bool:
    state = os.lstat(folder)
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o077


def memory_of(root: Path) -> Path | None:
    """The folder of the home whose spools lie in `root`; None where there is none."""
    try:
        folder = _folder(root)
        return folder if _ours(folder.parent) and _ours(folder) else None
    except (OSError, AttributeError):
        return None


def _folder(root: Path) -> Path:
    state = os.stat(root)  # noqa: PTH116
    return _user() / sha256(f"{_boot()}:{state.st_dev}:{state.st_ino}".encode()).hexdigest()[:24]


@lru_cache(maxsize=1)
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip().decode()


def fresh_memory(root: Path) -> Path:
    """The folder, made where it is missing, as is `root`.

    Raises:
        OSError: it can't be made.
    """
    private_folder(root)
    folder = _folder(root)
    private_folder(folder)
    if not _ours(folder.parent) or not _ours(folder):
        raise PermissionError(errno.EPERM, "it belongs to another user, or others may enter it", str(folder))
    if not (folder / "home").exists():
        write_private(folder / "home", json.dumps({"root": str(root), "space": _mounts()}).encode())
    return folder


def readers_lock(folder: Path) -> int | None:
    """The lock of whoever reads the folder, to be given to `release`; None: somebody else has it.

    Raises:
        OSError: it can't be opened.
    """
    assert fcntl is not None
    descriptor = open_private(folder / "lock", os.O_RDWR)
    _locks.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        release(descriptor)
        return None
    return descriptor


def watched(folder: Path) -> bool:
    """Whether somebody reads the folder now."""
    try:
        lock = readers_lock(folder)
    except OSError:
        return False
    if lock is not None:
        release(lock)
    return lock is None


def release(descriptor: int) -> None:
    """Let go of it."""
    _locks.discard(descriptor)
    with contextlib.suppress(OSError):
        os.close(descriptor)


@lru_cache(maxsize=1)
def this_space() -> int:
    """Which process ids these are: containers have their own."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return 0


def _mounts() -> int:
    return os.stat("/proc/self/ns/mnt").st_ino  # noqa: PTH116


def start_of(pid: int | str) -> tuple[int, str]:
    """When a process began, in ticks since the boot, and its state; 0 and nothing: there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            rest = os.read(descriptor, 4096).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
        return int(rest[19]), rest[0].decode()
    except (OSError, ValueError, IndexError):
        return 0, ""


def sweep_away(folder: Path) -> None:
    """Remove what belonged to homes that were removed: beside `folder`, which stays.

    A disk may be away for a moment only: what changed within a day is left alone.
    """
    with contextlib.suppress(OSError):
        for other in list(folder.parent.iterdir()):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                home = json.loads((other / "home").read_bytes())
                old = time.time() - other.stat().st_mtime > _FORGOTTEN
                here = other != folder and home["space"] == _mounts()
                if old and here and not _leads_to(Path(str(home["root"])), other):
                    _remove(other)


def _leads_to(root: Path, folder: Path) -> bool:
    try:
        return _folder(root) == folder
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    lock = readers_lock(folder)
    if lock is None:
        return
    try:
        for place, _, names in os.walk(folder, topdown=False):
            for name in names:
                Path(place, name).unlink(missing_ok=True)
            Path(place).rmdir()
    finally:
        release(lock)


def _after_fork() -> None:
    for descriptor in list(_locks):  # or the child would hold what its parent let go of
        release(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
