"""Changing files outside the scratch folder."""
# The probes are the calls themselves, not the ways round them.
# ruff: noqa: PTH101, PTH102, PTH104, PTH105, PTH106, PTH108, PTH123, PTH211, SIM115

from __future__ import annotations

import atexit
import ctypes
import logging
import mmap
import os
import pathlib
import shutil
import sqlite3
import stat
import struct
import tempfile

from shadoweval.candidate.guard.syscalls import syscall
from tests.candidate.guard.probes import native, probe, tell


@probe("open.write")
def open_for_writing(world):
    open(world.file, "w").write("x")


@probe("open.write")
def open_for_appending(world):
    open(world.file, "a").write("x")


@probe("open.write")
def open_relative_after_chdir(world):
    os.chdir(world.out)
    open("new.txt", "w").write("x")


@probe("open.write")
def open_relative_to_a_folder_descriptor(world):
    folder = os.open(world.out, os.O_RDONLY)
    os.chdir(world.scratch)
    os.close(os.open("new.txt", os.O_CREAT | os.O_WRONLY, dir_fd=folder))


@probe("open.write")
def open_by_a_path_out_of_scratch(world):
    open(f"{world.scratch}/../outside/new.txt", "w").write("x")


@probe("open.write")
def open_through_a_link_in_scratch(world):
    os.symlink(world.file, f"{world.scratch}/link")
    open(f"{world.scratch}/link", "w").write("x")


@probe("open.write")
def reopen_a_reading_descriptor_by_proc(world):
    reading = os.open(world.file, os.O_RDONLY)
    os.write(os.open(f"/proc/self/fd/{reading}", os.O_WRONLY), b"x")


@probe("open.write")
def native_reopen_by_dev_fd(world):
    reading = os.open(world.file, os.O_RDONLY)
    os.write(native("open", f"/dev/fd/{reading}".encode(), os.O_WRONLY), b"x")


@probe("open.write")
def open_by_proc_self_root(world):
    open(f"/proc/self/root{world.file}", "w").write("x")


@probe("open.write")
def pathlib_write(world):
    pathlib.Path(world.out, "new.txt").write_text("x")


@probe("open.write")
def native_open(world):
    os.write(native("open", world.file.encode(), os.O_WRONLY), b"x")


@probe("open.write")
def native_fopen(world):
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    assert library.fopen(f"{world.out}/new.txt".encode(), b"w")


@probe("open.write")
def raw_openat(world):
    syscall("openat", -100, f"{world.out}/new.txt".encode(), os.O_CREAT | os.O_WRONLY, 0o600)


@probe("open.write")
def raw_openat2(world):
    how = struct.pack("=QQQ", os.O_CREAT | os.O_WRONLY, 0o600, 0)
    syscall("openat2", -100, f"{world.out}/new.txt".encode(), how, len(how))


@probe("open.write")
def native_creat(world):
    native("creat", f"{world.out}/new.txt".encode(), 0o600)


@probe("open.write")
def unnamed_file_linked_in(world):
    unnamed = os.open(world.out, os.O_TMPFILE | os.O_WRONLY)
    native("linkat", -100, f"/proc/self/fd/{unnamed}".encode(), -100, f"{world.out}/new.txt".encode(), 0x400)


@probe("file.change")
def mkdir(world):
    os.mkdir(f"{world.out}/new")


@probe("file.change")
def native_mkdir(world):
    native("mkdir", f"{world.out}/new".encode(), 0o700)


@probe("file.change")
def rmdir(world):
    os.rmdir(f"{world.out}/empty")


@probe("file.change")
def native_rmdir(world):
    native("rmdir", f"{world.out}/empty".encode())


@probe("file.change")
def rename(world):
    os.rename(world.file, f"{world.out}/renamed.txt")


@probe("file.change")
def native_rename_into_scratch(world):
    native("rename", world.file.encode(), f"{world.scratch}/taken.txt".encode())


@probe("file.change")
def replace_from_scratch(world):
    pathlib.Path(world.scratch, "mine.txt").write_text("x")
    os.replace(f"{world.scratch}/mine.txt", world.file)


@probe("file.change")
def unlink(world):
    os.unlink(world.file)


@probe("file.change")
def native_unlink(world):
    native("unlink", world.file.encode())


@probe("file.change")
def native_unlinkat_by_descriptor(world):
    native("unlinkat", os.open(world.out, os.O_RDONLY), b"file.txt", 0)


@probe("file.change")
def symlink(world):
    os.symlink("file.txt", f"{world.out}/new-link")


@probe("file.change")
def native_symlink(world):
    native("symlink", b"file.txt", f"{world.out}/new-link".encode())


@probe("file.change")
def hard_link_into_scratch_and_write(world):
    os.link(world.file, f"{world.scratch}/hard")
    open(f"{world.scratch}/hard", "w").write("x")


@probe("file.change")
def native_hard_link_into_scratch_and_write(world):
    native("link", world.file.encode(), f"{world.scratch}/hard".encode())
    open(f"{world.scratch}/hard", "w").write("x")


@probe("file.change")
def chmod(world):
    os.chmod(world.file, 0o777)


@probe("file.change")
def native_chmod(world):
    native("chmod", world.file.encode(), 0o777)


@probe("file.change")
def fchmod_by_a_reading_descriptor(world):
    os.fchmod(os.open(world.file, os.O_RDONLY), 0o777)


@probe("file.change")
def chown(world):
    os.chown(world.file, 12345, 12345)


@probe("file.change")
def native_lchown(world):
    native("lchown", world.file.encode(), 12345, 12345)


@probe("file.change")
def utime(world):
    os.utime(world.file, (1, 1))


@probe("file.change")
def futimens_by_a_reading_descriptor(world):
    native("futimens", os.open(world.file, os.O_RDONLY), struct.pack("=qqqq", 1, 0, 1, 0))


@probe("file.change")
def truncate(world):
    os.truncate(world.file, 0)


@probe("file.change")
def native_truncate(world):
    native("truncate", world.file.encode(), ctypes.c_long(0))


@probe("file.change")
def setxattr(world):
    os.setxattr(world.file, "user.x", b"x")


@probe("file.change")
def fsetxattr_by_a_reading_descriptor(world):
    native("fsetxattr", os.open(world.file, os.O_RDONLY), b"user.x", b"x", ctypes.c_long(1), 0)


@probe("file.change")
def mkfifo(world):
    os.mkfifo(f"{world.out}/fifo")


@probe("file.change")
def mknod(world):
    os.mknod(f"{world.out}/node", stat.S_IFREG | 0o600)


@probe("file.change")
def device_node_in_scratch(world):
    """A node of the null device is harmless; one of a disk would not be."""
    os.mknod(f"{world.scratch}/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    tell(world)


@probe("kernel")
def file_flags_by_ioctl(world):
    reading = os.open(world.file, os.O_RDONLY)
    native("ioctl", reading, ctypes.c_ulong(0x40086602), struct.pack("=L", 0x40))  # FS_IOC_SETFLAGS, FS_NODUMP_FL


@probe("open.write")
def shutil_copy(world):
    shutil.copy(world.file, f"{world.out}/copy.txt")


@probe("file.change")
def shutil_rmtree(world):
    shutil.rmtree(f"{world.out}/folder")


@probe("file.change")
def shutil_move(world):
    shutil.move(world.file, f"{world.out}/moved.txt")


@probe("open.write")
def tempfile_outside_scratch(world):
    tempfile.mkstemp(dir=world.out)


@probe("open.write")
def mmap_shared(world):
    with open(world.file, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0] = 120


@probe("open.write")
def sqlite_write(world):
    with sqlite3.connect(world.database) as database:
        database.execute("insert into t values (2)")


@probe("open.write")
def sqlite_new_file(world):
    sqlite3.connect(f"{world.out}/new.db").execute("create table t(a)")


@probe("open.write")
def sqlite_attach(world):
    database = sqlite3.connect(":memory:")
    database.execute("attach ? as other", (world.database,))
    database.execute("insert into other.t values (2)")


@probe("open.write")
def new_logging_handler(world):
    logging.FileHandler(f"{world.out}/new.log").emit(logging.LogRecord("x", 30, "", 0, "x", (), None))


@probe("open.write")
def at_exit(world):
    atexit.register(lambda: open(world.file, "w").write("x"))
    atexit._run_exitfuncs()
