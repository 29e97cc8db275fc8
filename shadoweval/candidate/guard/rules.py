"""Which system calls change the world, and what has to be looked at to decide: shared by filter and supervisor.

A filter sees numbers only, so it asks (`Match`) what numbers can answer; paths and addresses lie behind pointers and
are read by the supervisor (`PATHS`, `ADDRESSED`).
"""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from shadoweval.candidate.guard.inherited import FIRST_INHERITED

__all__ = [
    "ADDRESSED",
    "AT_FDCWD",
    "INHERITABLE",
    "KIND",
    "LOCK_COMMANDS",
    "NO_SUCH_CALL",
    "OPENS",
    "OWNER_COMMANDS",
    "OWN_THREADS",
    "PATHS",
    "SOCKET_TYPES",
    "STEPPING_BACK",
    "WRITE_FLAGS",
    "Match",
    "PathAt",
    "common_rules",
    "own_rules",
    "unasked",
    "unasked_in_child",
]

AT_FDCWD = -100
_O_TMPFILE = 0o20000000
WRITE_FLAGS = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (_O_TMPFILE if os.name == "posix" else 0)
)  # what makes an open more than a reading one
_CLONE_THREAD = 0x10000
_FAST_OPEN = 0x20000000  # MSG_FASTOPEN: connects and sends in one call
_IOCTLS = (0x40086602, 0x40046602, 0x401C5820, 0x5412, 0x541C, 0x8901, 0x8902)
# FS_IOC_SETFLAGS (64, 32), FSSETXATTR, TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
# Commands of fcntl: who is sent a signal when there is something to read, and by which; whom others' opens wait for.
OWNER_COMMANDS = (8, 10, 15, 1024)  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE
LOCK_COMMANDS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
STEPPING_BACK = (3, 5)  # SCHED_BATCH, SCHED_IDLE
LOWEST = 19  # the nice value that lets everything else go first
IO_IDLE = 3 << 13  # IOPRIO_CLASS_IDLE

# Families with the types and protocols that connect, bind and send guard: AF_UNIX, AF_INET, AF_INET6; stream, datagram
# (and seqpacket for AF_UNIX); default, TCP, UDP. All others (raw, netlink, packet, ...) are refused when made.
SOCKET_TYPES = {1: ((1, 2, 5), (0, 1)), 2: ((1, 2), (0, 6, 17)), 10: ((1, 2), (0, 6, 17))}


class Match(NamedTuple):
    """Matches if `argument & mask` is (or with `negate` is not) one of `values`; `high`: of the upper 32 bits."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    negate: bool = False
    high: bool = False


class PathAt(NamedTuple):
    """Where a path lies among the arguments: folder descriptor, path, flags (-1: there is none)."""

    folder: int
    path: int
    flags: int = -1
    follow: bool = True


# What must lie inside the writable places, for each call that changes files. A folder without a path is a descriptor.
PATHS: dict[str, tuple[PathAt, ...]] = {
    name: paths
    for names, paths in {
        "truncate chmod chown utime utimes setxattr removexattr": (PathAt(-1, 0),),
        "mkdir rmdir unlink mknod lchown lsetxattr lremovexattr": (PathAt(-1, 0, follow=False),),
        "rename link": (PathAt(-1, 0, follow=False), PathAt(-1, 1, follow=False)),
        "symlink": (PathAt(-1, 1, follow=False),),
        "mkdirat unlinkat mknodat": (PathAt(0, 1, follow=False),),
        "renameat renameat2": (PathAt(0, 1, follow=False), PathAt(2, 3, follow=False)),
        "linkat": (PathAt(0, 1, flags=4), PathAt(2, 3, follow=False)),
        "symlinkat": (PathAt(1, 2, follow=False),),
        "fchmodat futimesat": (PathAt(0, 1),),
        "setxattrat removexattrat": (PathAt(0, 1, flags=2),),
        "fchmodat2 utimensat": (PathAt(0, 1, flags=3),),
        "fchownat file_setattr": (PathAt(0, 1, flags=4),),
        "fchmod fchown fsetxattr fremovexattr": (PathAt(0, -1),),
    }.items()
    for name in names.split()
}
OPENS = {"open": PathAt(-1, 0), "openat": PathAt(0, 1), "openat2": PathAt(0, 1), "creat": PathAt(-1, 0)}
# Decided by Landlock where there is no supervisor to ask.
_LANDLOCK_DECIDES = {"truncate", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat"} | {
    "unlink", "unlinkat", "symlink", "symlinkat", "mknod", "mknodat", "open", "openat", "creat"
}  # fmt: skip

ADDRESSED = {
    "bind": "socket.bind",
    "connect": "socket.connect",
    "sendto": "socket.send",
    "sendmsg": "socket.send",
    "sendmmsg": "socket.send",
}
# Answered "no such call", silently: libraries try them and go on without (the C library at each start of a thread,
# whose flags for clone3 lie behind a pointer; libuv at each start of a loop).
NO_SUCH_CALL = ("clone3", "io_uring_setup")
# Which argument is the descriptor, of calls that write through (copy, lock) an inherited one.
INHERITABLE = {
    "write": 0, "pwrite64": 0, "writev": 0, "pwritev": 0, "pwritev2": 0, "sendfile": 0, "splice": 2, "tee": 1,
    "vmsplice": 0, "dup": 0, "dup2": 0, "dup3": 0, "fcntl": 0, "copy_file_range": 2, "ftruncate": 0, "fallocate": 0,
    "sendto": 0, "sendmsg": 0, "sendmmsg": 0,
}  # fmt: skip
_SIGNALS = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
# Calls whose first argument must be one of the candidate's own threads.
OWN_THREADS = ("tkill", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")

_REFUSED = {
    "socket.bind": "listen",
    "process": "fork vfork execve execveat",
    "signal": "pidfd_send_signal",
    "memory": "ptrace process_vm_writev process_madvise process_mrelease pidfd_getfd move_pages migrate_pages",
    "ipc": "shmget shmat shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_unlink",
    "kernel": (
        "bpf userfaultfd keyctl add_key request_key perf_event_open io_submit mount umount2 pivot_root "
        "chroot unshare setns move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr "
        "open_by_handle_at swapon swapoff quotactl quotactl_fd acct reboot init_module finit_module delete_module "
        "kexec_load kexec_file_load sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime syslog "
        "vhangup iopl ioperm fanotify_init"
    ),
}
# Every call that is refused or looked at, by the kind of its refusal.
KIND: dict[str, str] = {
    **{name: kind for kind, names in _REFUSED.items() for name in names.split()},
    **dict.fromkeys(PATHS, "file.change"),
    **dict.fromkeys(OPENS, "open.write"),
    **ADDRESSED,
    **dict.fromkeys(("tkill", *_SIGNALS), "signal"),
    **dict.fromkeys(("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"), "process"),
    **dict.fromkeys(("setpriority", "ioprio_set", "prlimit64", "clone"), "process"),
    **dict.fromkeys(("fcntl", "flock"), "file.lock"),
    "socket": "socket.create",
    "ioctl": "kernel",
    "mq_open": "ipc",
}


FilterRules = dict[str, tuple[Match, ...]]


def own_rules(keep: tuple[int, ...], *, inherited: bool) -> FilterRules:
    """Call name to tests for descriptors by number; a call is refused (or asked about) if any test matches.

    Args:
        keep: descriptors that may send messages unasked, the supervisor's channel among them.
        inherited: whether numbers from `FIRST_INHERITED` on are looked at.
    """
    high = ~(FIRST_INHERITED - 1) & 0xFFFFFFFF
    at_or_above: FilterRules = {
        name: (Match(argument, (0,), high, negate=True),) for name, argument in INHERITABLE.items()
    }
    rules = at_or_above if inherited else FilterRules()
    rules["fcntl"] = (*rules.get("fcntl", ()), Match(1, OWNER_COMMANDS + (LOCK_COMMANDS if inherited else ())))
    rules["sendto"] = (*rules.get("sendto", ()), *(Match(4, (0,), negate=True, high=high) for high in (False, True)))
    return rules | dict.fromkeys(("sendmsg", "sendmmsg"), (Match(0, keep, negate=True),) if keep else ())


@cache
def common_rules() -> FilterRules:
    """The same for what is alike in every candidate; a call without tests is refused (or asked about) whenever made."""
    writing = {"open": 1, "openat": 2, "mq_open": 1}
    rules: FilterRules = {
        name: (Match(argument, (0,), WRITE_FLAGS, negate=True),) for name, argument in writing.items()
    }
    rules |= {"ioctl": (Match(1, _IOCTLS),), "clone": (Match(0, (0,), _CLONE_THREAD),)}
    rules |= {name: (Match(0, (0,), negate=True),) for name in (*OWN_THREADS, "prlimit64")}
    # Without a question a thread may let others go first, and nothing else: it runs behind production's.
    rules["sched_setscheduler"] = (Match(0, (0,), negate=True), Match(1, STEPPING_BACK, negate=True))
    rules["setpriority"] = tuple(Match(n, values, negate=True) for n, values in enumerate(((0,), (0,), (LOWEST,))))
    rules["ioprio_set"] = (*rules["setpriority"][:2], Match(2, (IO_IDLE,), 7 << 13, negate=True))
    del rules["sched_setattr"]  # always: it says all of that behind a pointer
    return rules | {name: () for name in KIND if name not in rules and name not in own_rules((), inherited=False)}


def unasked(rules: FilterRules, *, ports: bool, landlock: bool) -> FilterRules:
    """The rules where nobody reads paths and addresses: TCP by Landlock's `ports`, no datagrams, no Unix sockets.

    What `landlock` decides is left to it, all else is refused whole, but for what a fork server does itself: it forks,
    and signals its children. `unasked_in_child` takes that away from these.
    """
    left_out = {"clone", *_SIGNALS, *(_LANDLOCK_DECIDES if landlock else ()), *(("connect",) if ports else ())}
    rules = {name: tests for name, tests in rules.items() if name not in left_out}
    streams, datagrams = (2, 10), 2
    rules["socket"] = (Match(0, streams, negate=True), Match(1, (datagrams, 3, 5), 0xF), Match(2, (0, 6), negate=True))
    rules["socketpair"] = (Match(1, (datagrams,), 0xF),)
    rules["sendmsg"] = (Match(2, (_FAST_OPEN,), _FAST_OPEN),)
    rules["sendmmsg"] = (Match(3, (_FAST_OPEN,), _FAST_OPEN),)
    return rules


def unasked_in_child() -> FilterRules:
    """What a child of the fork server is refused on top of `unasked`: processes, and signals to others than itself."""
    own = Match(0, (os.getpid(),), negate=True)
    return dict.fromkeys(_SIGNALS, (own,)) | {"clone": common_rules()["clone"]}
