"""Starting processes, and reaching into others."""
# The probes are the calls themselves, not the ways round them.
# ruff: noqa: PTH123

from __future__ import annotations

import _posixsubprocess
import asyncio
import ctypes
import multiprocessing
import os
import signal
import struct
import subprocess
import threading
from concurrent.futures import ProcessPoolExecutor

from shadoweval.candidate.guard.syscalls import syscall
from tests.candidate.guard.probes import native, probe, tell


def shell(world):
    """A command that shows that it ran."""
    return f"printf '!' > /proc/self/fd/{world.witness}; touch {world.out}/new.txt"


def child_tells(world, pid):
    """In the child: say so and end. In the parent: wait for it."""
    if pid == 0:
        tell(world)
        os._exit(0)
    os.waitpid(pid, 0)


@probe("process")
def os_system(world):
    os.system(shell(world))


@probe("process")
def subprocess_run(world):
    subprocess.run(["/bin/sh", "-c", shell(world)], pass_fds=[world.witness], check=False)


@probe("process")
def asyncio_subprocess(world):
    async def main():
        await (await asyncio.create_subprocess_shell(shell(world), pass_fds=[world.witness])).wait()

    asyncio.run(main())


@probe("process")
def os_popen(world):
    os.popen(shell(world)).read()


@probe("process")
def posix_spawn(world):
    os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", shell(world)], {}), 0)


@probe("process")
def spawnv(world):
    os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", shell(world)])


@probe("process")
def fork_exec_of_posixsubprocess(world):
    args = [b"/bin/sh", b"-c", shell(world).encode()]
    error_read, error_write = os.pipe()
    pid = _posixsubprocess.fork_exec(
        args, [b"/bin/sh"], True, (error_write,), None, None, -1, -1, -1, -1, -1, -1, error_read, error_write,
        True, False, -1, None, None, None, -1, None, False,
    )  # fmt: skip
    os.waitpid(pid, 0)


@probe("process")
def fork(world):
    child_tells(world, os.fork())


@probe("process")
def forkpty(world):
    child_tells(world, os.forkpty()[0])


@probe("process")
def native_fork(world):
    child_tells(world, native("fork"))


@probe("process")
def raw_clone(world):
    child_tells(world, syscall("clone", int(signal.SIGCHLD), 0, 0, 0, 0))


@probe()
def raw_clone3(world):
    """Does not exist under the guard (ENOSYS), silently: the C library asks for it at each start of a thread."""
    child_tells(world, syscall("clone3", struct.pack("=4QQ6Q", 0, 0, 0, 0, int(signal.SIGCHLD), *[0] * 6), 88))


@probe("process")
def native_system(world):
    native("system", shell(world).encode())


@probe("process")
def native_posix_spawn(world):
    arguments = (ctypes.c_char_p * 4)(b"sh", b"-c", shell(world).encode(), None)
    pid = ctypes.c_int()
    failed = native("posix_spawn", ctypes.byref(pid), b"/bin/sh", None, None, arguments, None)
    if not failed:
        os.waitpid(pid.value, 0)


@probe("process")
def execv(world):
    os.execv("/bin/sh", ["sh", "-c", shell(world)])


@probe("process")
def native_execve(world):
    arguments = (ctypes.c_char_p * 4)(b"sh", b"-c", shell(world).encode(), None)
    native("execve", b"/bin/sh", arguments, None)


@probe("process")
def execute_an_anonymous_file(world):
    memory = os.memfd_create("program", 0)
    os.write(memory, b"#!/bin/sh\n" + shell(world).encode())
    arguments = (ctypes.c_char_p * 2)(b"program", None)
    native("fexecve", memory, arguments, arguments)


@probe("process")
def multiprocessing_process(world):
    process = multiprocessing.get_context("fork").Process(target=tell, args=(world,))
    process.start()
    process.join()


@probe("process", "open.write")
def process_pool(world):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(tell, world).result(2)


@probe("process")
def subprocess_in_a_thread(world):
    thread = threading.Thread(target=os_system, args=(world,))
    thread.start()
    thread.join()


@probe("signal")
def kill(world):
    os.kill(world.victim, signal.SIGUSR1)


@probe("signal")
def kill_the_parent(world):
    os.kill(os.getppid(), signal.SIGUSR1)


@probe("signal")
def killpg(world):
    os.killpg(world.victim, signal.SIGUSR1)


@probe("signal")
def native_kill(world):
    native("kill", world.victim, int(signal.SIGUSR1))


@probe("signal")
def raw_tgkill(world):
    syscall("tgkill", world.victim, world.victim, int(signal.SIGUSR1))


@probe("signal")
def raw_tkill(world):
    syscall("tkill", world.victim, int(signal.SIGUSR1))


@probe("signal")
def native_sigqueue(world):
    native("sigqueue", world.victim, int(signal.SIGUSR1), ctypes.c_void_p(0))


@probe("signal")
def pidfd_send_signal(world):
    signal.pidfd_send_signal(os.pidfd_open(world.victim), signal.SIGUSR1)


@probe("memory")
def process_vm_writev(world):
    data = ctypes.create_string_buffer(b"escape")
    local = struct.pack("=QQ", ctypes.addressof(data), 6)
    remote = struct.pack("=QQ", world.victim_address, 6)
    syscall("process_vm_writev", world.victim, local, 1, remote, 1, 0)


@probe("open.write")
def write_to_the_memory_file(world):
    memory = os.open(f"/proc/{world.victim}/mem", os.O_RDWR)
    os.pwrite(memory, b"by /proc", world.victim_address)


@probe("memory")
def ptrace(world):
    syscall("ptrace", 16, world.victim, 0, 0)  # PTRACE_ATTACH
    os.waitpid(world.victim, 0x40000000)
    syscall("ptrace", 5, world.victim, world.victim_address, 0x6B6B6B6B)  # PTRACE_POKEDATA
    syscall("ptrace", 17, world.victim, 0, 0)  # PTRACE_DETACH


@probe("memory")
def steal_a_descriptor(world):
    stolen = syscall("pidfd_getfd", os.pidfd_open(world.victim), 1, 0)
    os.write(stolen, b"x")
    tell(world)


@probe("process")
def setpriority(world):
    os.setpriority(os.PRIO_PROCESS, world.victim, os.getpriority(os.PRIO_PROCESS, world.victim) + 1)


@probe("process")
def sched_setaffinity(world):
    os.sched_setaffinity(world.victim, {min(os.sched_getaffinity(world.victim))})


@probe("process")
def prlimit(world):
    import resource

    resource.prlimit(world.victim, resource.RLIMIT_CORE, (0, 0))


@probe("open.write")
def oom_score_of_another_process(world):
    with open(f"/proc/{world.victim}/oom_score_adj", "w") as file:
        file.write("7")
