"""Linux system call numbers that the guard speaks about, for the two architectures it knows.

From the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` (aarch64). The test
compares them with the C headers of the machine it runs on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from functools import cache
from typing import Any

__all__ = ["AUDIT_ARCH", "libc", "native_numbers", "syscall"]

# AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 (include/uapi/linux/audit.h): a filter must check them before the number.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name, number on x86_64, number on aarch64; "-": not there.
_TABLE = """
acct 163 89, add_key 248 217, adjtimex 159 171, bind 49 200, bpf 321 280, chmod 90 -, chown 92 -, chroot 161 51,
clock_adjtime 305 266, clock_settime 227 112, clone 56 220, clone3 435 435, connect 42 203,
copy_file_range 326 285, creat 85 -, delete_module 176 106, dup 32 23, dup2 33 -, dup3 292 24, execve 59 221,
execveat 322 281, fallocate 285 47, fanotify_init 300 262, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452,
fchown 93 55, fchownat 260 54, fcntl 72 25, file_setattr 469 469, finit_module 313 273, flock 73 32, fork 57 -,
fremovexattr 199 16, fsconfig 431 431, fsetxattr 190 7, fsmount 432 432, fsopen 430 430, fspick 433 433,
ftruncate 77 46, futimesat 261 -, init_module 175 105, io_submit 209 2, io_uring_setup 425 425, ioctl 16 29,
ioperm 173 -, iopl 172 -, ioprio_set 251 30, kexec_file_load 320 294, kexec_load 246 104, keyctl 250 219,
kill 62 129, landlock_add_rule 445 445, landlock_create_ruleset 444 444, landlock_restrict_self 446 446,
lchown 94 -, link 86 -, linkat 265 37, listen 50 201, lremovexattr 198 15, lsetxattr 189 6,
migrate_pages 256 238, mkdir 83 -, mkdirat 258 34, mknod 133 -, mknodat 259 33, mount 165 40,
mount_setattr 442 442, move_mount 429 429, move_pages 279 239, mq_open 240 180, mq_unlink 241 181, msgctl 71 187,
msgget 68 186, msgrcv 70 188, msgsnd 69 189, open 2 -, open_by_handle_at 304 265, open_tree 428 428,
open_tree_attr 467 467, openat 257 56, openat2 437 437, perf_event_open 298 241, pidfd_getfd 438 438,
pidfd_send_signal 424 424, pivot_root 155 41, prlimit64 302 261, process_madvise 440 440,
process_mrelease 448 448, process_vm_writev 311 271, ptrace 101 117, pwrite64 18 68, pwritev 296 70,
pwritev2 328 287, quotactl 179 60, quotactl_fd 443 443, reboot 169 142, removexattr 197 14,
removexattrat 466 466, rename 82 -, renameat 264 38, renameat2 316 276, request_key 249 218, rmdir 84 -,
rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, sched_setaffinity 203 122, sched_setattr 314 274,
sched_setparam 142 118, sched_setscheduler 144 119, seccomp 317 277, semctl 66 191, semget 64 190, semop 65 193,
semtimedop 220 192, sendfile 40 71, sendmmsg 307 269, sendmsg 46 211, sendto 44 206, setdomainname 171 162,
sethostname 170 161, setns 308 268, setpriority 141 140, settimeofday 164 170, setxattr 188 5,
setxattrat 463 463, shmat 30 196, shmctl 31 195, shmget 29 194, socket 41 198, socketpair 53 199, splice 275 76,
swapoff 168 225, swapon 167 224, symlink 88 -, symlinkat 266 36, syslog 103 116, tee 276 77, tgkill 234 131,
tkill 200 130, truncate 76 45, umount2 166 39, unlink 87 -, unlinkat 263 35, unshare 272 97, userfaultfd 323 282,
utime 132 -, utimensat 280 88, utimes 235 -, vfork 58 -, vhangup 153 58, vmsplice 278 75, write 1 64,
writev 20 66
"""


@cache
def call_numbers(machine: str) -> dict[str, int]:
    """Name to number on `machine`; empty for a machine that is not known."""
    if machine not in AUDIT_ARCH:
        return {}
    column = 1 if machine == "x86_64" else 2
    rows = (entry.split() for entry in _TABLE.replace("\n", ",").split(",") if entry.strip())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def native_numbers() -> dict[str, int]:
    """Name to number on this machine; empty where there is no Linux of a known architecture."""
    return call_numbers(platform.machine()) if platform.system() == "Linux" else {}


@cache
def libc() -> Any:
    """The C library of this process, with errno."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def syscall(name: str, *arguments: Any) -> int:
    """Make a system call by name.

    Raises:
        OSError: what the kernel answered; ENOSYS for a call that this architecture has not.
    """
    number = native_numbers().get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: no such system call here")
    plain = (ctypes.c_long(entry) if isinstance(entry, int) else entry for entry in arguments)
    result = libc().syscall(ctypes.c_long(number), *plain)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)
