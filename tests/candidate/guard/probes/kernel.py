"""Shared objects of the kernel, and calls that lead round the others."""

from __future__ import annotations

import ctypes
import os
import struct
from multiprocessing import shared_memory

from shadoweval.candidate.guard.syscalls import syscall
from tests.candidate.guard.probes import native, probe, tell


@probe("ipc")
def system_v_shared_memory(world):
    native("shmget", world.key, 4096, 0o1600)


@probe("ipc")
def system_v_semaphore(world):
    native("semget", world.key, 1, 0o1600)


@probe("ipc")
def system_v_message_queue(world):
    native("msgget", world.key, 0o1600)


@probe("ipc")
def posix_message_queue(world):
    native("mq_open", f"/{world.name}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None)


@probe("open.write")
def posix_shared_memory(world):
    native("shm_open", f"/{world.name}".encode(), os.O_CREAT | os.O_RDWR, 0o600)


@probe("open.write")
def multiprocessing_shared_memory(world):
    shared_memory.SharedMemory(world.name, create=True, size=16)


@probe("open.write")
def posix_semaphore(world):
    library = ctypes.CDLL(None, use_errno=True)
    library.sem_open.restype = ctypes.c_void_p
    assert library.sem_open(f"/{world.name}".encode(), os.O_CREAT, 0o600, 1)


@probe("kernel")
def mount(world):
    native("mount", b"tmpfs", f"{world.out}/folder".encode(), b"tmpfs", 0, None)


@probe("kernel")
def bind_mount_into_scratch(world):
    native("mount", world.out.encode(), world.scratch.encode(), None, 4096, None)


@probe("kernel")
def user_namespace(world):
    native("unshare", 0x10000000)
    tell(world)


@probe("kernel")
def change_root(world):
    native("chroot", world.out.encode())
    tell(world)


@probe("kernel")
def host_name(world):
    name = os.uname().nodename.encode()
    native("sethostname", name, len(name))
    tell(world)


@probe("kernel")
def bpf_map(world):
    syscall("bpf", 0, struct.pack("=IIIII", 2, 4, 4, 1, 0), 20)
    tell(world)


@probe("kernel")
def user_fault(world):
    syscall("userfaultfd", os.O_CLOEXEC)
    tell(world)


@probe("kernel")
def performance_events(world):
    syscall("perf_event_open", struct.pack("=IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0)
    tell(world)


@probe("kernel")
def key_ring(world):
    syscall("add_key", b"user", world.name.encode(), b"x", 1, -4)  # KEY_SPEC_USER_KEYRING


@probe()
def io_uring(world):
    syscall("io_uring_setup", 4, ctypes.create_string_buffer(120))
    tell(world)


@probe("kernel")
def asynchronous_io(world):
    """io_submit with a bad list: EINVAL says that the kernel would have taken it."""
    try:
        syscall("io_submit", 0, 1, 0)
    except OSError as error:
        if error.errno == 22:
            tell(world)
        raise


@probe("kernel")
def open_by_handle(world):
    file_handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    kind = ctypes.c_int()
    native("name_to_handle_at", -100, world.file.encode(), file_handle, ctypes.byref(kind), 0)
    opened = native("open_by_handle_at", os.open("/", os.O_RDONLY), file_handle, os.O_WRONLY)
    os.write(opened, b"x")


@probe("kernel")
def fanotify(world):
    syscall("fanotify_init", 0, 0)
    tell(world)


@probe("kernel")
def file_system_handles(world):
    syscall("fsopen", b"tmpfs", 0)
    tell(world)
