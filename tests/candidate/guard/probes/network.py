"""Reaching out by Python's and the kernel's own sockets."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
import threading
import urllib.request

from shadoweval.candidate.guard.syscalls import syscall
from tests.candidate.guard.probes import native, probe, tell


def sockaddr(address):
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(address[1]), socket.inet_aton(address[0]))


def without_family(address):
    """An address of the family AF_UNSPEC, which Linux sends to as if it said AF_INET."""
    return bytes(2) + sockaddr(address)[2:]


def unix_path(path):
    return struct.pack("=H", socket.AF_UNIX) + path.encode() + b"\0"


def message(address, payload=b"x", spelling=sockaddr):
    """A struct msghdr (with what it points to, to keep it alive)."""
    name, data = ctypes.create_string_buffer(spelling(address)), ctypes.create_string_buffer(payload)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), len(payload)))
    header = struct.pack("=QIxxxxQQQQixxxx", ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0)
    return ctypes.create_string_buffer(header + struct.pack("=Q", 0)), (name, data, vector)


@probe("socket.connect")
def tcp(world):
    socket.create_connection(world.tcp, timeout=2).sendall(b"x")


@probe("socket.connect")
def tcp_connect_ex(world):
    return socket.socket().connect_ex(world.tcp)


@probe("socket.connect")
def tcp_mapped_ipv6(world):
    socket.socket(socket.AF_INET6).connect(("::ffff:" + world.tcp[0], world.tcp[1]))


@probe("socket.connect")
def tcp_from_a_thread_started_later(world):
    thread = threading.Thread(target=tcp, args=(world,))
    thread.start()
    thread.join()


@probe("socket.send")
def udp_sendto(world):
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", world.udp)


@probe("socket.connect")
def udp_connect_send(world):
    with socket.socket(type=socket.SOCK_DGRAM) as end:
        end.connect(world.udp)
        end.send(b"x")


@probe("socket.send")
def udp_sendmsg(world):
    socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, world.udp)


@probe("socket.send")
def native_sendto(world):
    end = socket.socket(type=socket.SOCK_DGRAM)
    native("sendto", end.fileno(), b"x", 1, 0, sockaddr(world.udp), 16)


@probe("socket.send")
def native_sendmsg(world):
    end, (header, _alive) = socket.socket(type=socket.SOCK_DGRAM), message(world.udp)
    native("sendmsg", end.fileno(), header, 0)


@probe("socket.send")
def native_sendmmsg(world):
    end, (header, _alive) = socket.socket(type=socket.SOCK_DGRAM), message(world.udp)
    native("sendmmsg", end.fileno(), header, 1, 0)


@probe("socket.send")
def sendto_without_a_family(world):
    end = socket.socket(type=socket.SOCK_DGRAM)
    native("sendto", end.fileno(), b"x", 1, 0, without_family(world.udp), 16)


@probe("socket.send")
def sendmsg_without_a_family(world):
    end, (header, _alive) = socket.socket(type=socket.SOCK_DGRAM), message(world.udp, spelling=without_family)
    native("sendmsg", end.fileno(), header, 0)


@probe("socket.send")
def sendmmsg_without_a_family(world):
    end, (header, _alive) = socket.socket(type=socket.SOCK_DGRAM), message(world.udp, spelling=without_family)
    native("sendmmsg", end.fileno(), header, 1, 0)


@probe("socket.connect")
def native_connect(world):
    end = socket.socket()
    native("connect", end.fileno(), sockaddr(world.tcp), 16)


@probe("socket.connect")
def raw_connect_without_a_python_socket(world):
    end = syscall("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    syscall("connect", end, sockaddr(world.tcp), 16)


@probe("socket.send")
def tcp_fast_open(world):
    end = socket.socket()
    native("sendto", end.fileno(), b"x", 1, 0x20000000, sockaddr(world.tcp), 16)


@probe("socket.connect")
def unix_stream(world):
    socket.socket(socket.AF_UNIX).connect(world.unix)


@probe("socket.send")
def unix_datagram(world):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", world.unix_datagram)


@probe("socket.send")
def unix_datagram_out_of_a_pair(world):
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = unix_path(world.unix_datagram)
    native("sendto", ours.fileno(), b"x", 1, 0, path, len(path))


@probe("socket.connect")
def unix_stream_by_a_relative_path(world):
    folder, name = os.path.split(world.unix)
    os.chdir(folder)
    end, path = socket.socket(socket.AF_UNIX), unix_path(name)
    native("connect", end.fileno(), path, len(path))


@probe("socket.connect")
def unix_stream_by_way_of_its_own_folder(world):
    folder, name = os.path.split(world.unix)
    os.chdir(folder)
    end, path = socket.socket(socket.AF_UNIX), unix_path(f"/proc/self/cwd/{name}")
    native("connect", end.fileno(), path, len(path))


@probe("socket.send")
def unix_datagram_by_a_relative_path(world):
    folder, name = os.path.split(world.unix_datagram)
    os.chdir(folder)
    end, path = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), unix_path(name)
    native("sendto", end.fileno(), b"x", 1, 0, path, len(path))


@probe("socket.connect")
def unix_abstract(world):
    socket.socket(socket.AF_UNIX).connect("\0" + world.abstract)


@probe("socket.connect")
def native_unix_abstract(world):
    end = socket.socket(socket.AF_UNIX)
    address = struct.pack("=H", socket.AF_UNIX) + b"\0" + world.abstract.encode()
    native("connect", end.fileno(), address, len(address))


@probe("socket.bind")
def bind_and_listen(world):
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        tell(world)


def choose_port(world):
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        world.port = end.getsockname()


@probe("socket.bind", before=choose_port)
def bind(world):
    socket.socket().bind(world.port)
    tell(world)


@probe("socket.bind", before=choose_port)
def native_bind(world):
    end = socket.socket()
    native("bind", end.fileno(), sockaddr(world.port), 16)
    tell(world)


@probe("socket.bind", before=choose_port)
def bind_without_a_family(world):
    end = socket.socket()
    native("bind", end.fileno(), without_family(("0.0.0.0", world.port[1])), 16)
    tell(world)


@probe("socket.bind")
def listen_without_bind(world):
    socket.socket().listen()
    tell(world)


@probe("socket.create")
def raw_icmp_socket(world):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    tell(world)


@probe("socket.create")
def packet_socket(world):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tell(world)


@probe("socket.create")
def netlink_socket(world):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    tell(world)


def ask_the_worlds_name_server(world):
    """Point this thread's resolver (struct __res_state) to the listener."""
    library = ctypes.CDLL("libresolv.so.2")
    library.__res_init()
    library.__res_state.restype = ctypes.c_void_p
    state = library.__res_state()
    ctypes.memmove(state, struct.pack("=ii", 1, 1), 8)  # one second, one try
    ctypes.memmove(state + 16, struct.pack("=i", 1) + sockaddr(world.udp), 20)


@probe("socket.resolve", before=ask_the_worlds_name_server)
def dns(world):
    socket.getaddrinfo("escape.example.org", 80)


@probe("socket.connect", "socket.create", before=ask_the_worlds_name_server)
def native_dns(world):
    answer = ctypes.c_void_p()
    return native("getaddrinfo", b"escape.example.org", b"80", None, ctypes.byref(answer))


@probe("socket.connect")
def asyncio_connection(world):
    async def main():
        _, writer = await asyncio.open_connection(*world.tcp)
        writer.write(b"x")
        await writer.drain()

    asyncio.run(main())


@probe("socket.send", "socket.connect")
def asyncio_datagram(world):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=world.udp)
        transport.sendto(b"x")

    asyncio.run(main())


@probe("socket.connect")
def urllib_request(world):
    urllib.request.urlopen(world.url, timeout=2)
