"""Writing through what was open before the guard began."""
# The probes are the calls themselves, not the ways round them.
# ruff: noqa: PTH123

from __future__ import annotations

import http.client
import logging
import mmap
import os
import socket
import sqlite3

from tests.candidate.guard.probes import native, probe


def open_file(world):
    world.inherited = os.open(world.file, os.O_RDWR)


def open_socket(world):
    world.connection = socket.create_connection(world.tcp)


def open_datagram(world):
    world.connection = socket.socket(type=socket.SOCK_DGRAM)
    world.connection.connect(world.udp)


def open_http(world):
    world.connection = http.client.HTTPConnection(*world.tcp)
    world.connection.request("GET", "/")
    world.connection.getresponse().read()


def open_log(world):
    world.handler = logging.FileHandler(f"{world.out}/before.log")
    world.handler.handleError = lambda record: None


def open_database(world):
    world.connection = sqlite3.connect(world.database, isolation_level=None)
    world.connection.execute("select * from t").fetchall()


def open_pipe(world):
    world.inherited = os.open(world.fifo, os.O_WRONLY)


def map_file(world):
    with open(world.file, "r+b") as file:
        world.memory = mmap.mmap(file.fileno(), 0)


@probe("inherited", before=open_file)
def write_to_an_open_file(world):
    os.write(world.inherited, b"x")


@probe("inherited", before=open_file)
def native_pwrite_to_an_open_file(world):
    native("pwrite", world.inherited, b"x", 1, 0)


@probe("inherited", before=open_file)
def writev_to_an_open_file(world):
    os.writev(world.inherited, [b"x"])


@probe("inherited", before=open_file)
def truncate_an_open_file(world):
    os.ftruncate(world.inherited, 0)


@probe("inherited", before=open_file)
def copy_file_range_into_an_open_file(world):
    os.copy_file_range(os.open("/etc/passwd", os.O_RDONLY), world.inherited, 5)


@probe("inherited", before=open_file)
def sendfile_into_an_open_file(world):
    os.sendfile(world.inherited, os.open("/etc/passwd", os.O_RDONLY), 0, 5)


@probe("inherited", before=open_file)
def splice_into_an_open_file(world):
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    native("splice", reading, None, world.inherited, None, 5, 0)


@probe("inherited", "file.change", before=open_file)
def fchmod_an_open_file(world):
    os.fchmod(world.inherited, 0o777)


@probe("inherited", before=open_file)
def write_to_a_copy_of_an_open_file(world):
    os.write(os.dup(world.inherited), b"x")


@probe("inherited", before=open_pipe)
def write_to_an_open_pipe(world):
    os.write(world.inherited, b"x")


@probe("inherited", before=open_socket)
def send_on_an_open_connection(world):
    world.connection.sendall(b"escape")


@probe("inherited", before=open_socket)
def native_sendmsg_on_an_open_connection(world):
    world.connection.sendmsg([b"escape"])


@probe("inherited", before=open_datagram)
def send_on_a_connected_datagram_socket(world):
    world.connection.send(b"escape")


@probe("inherited", before=open_http)
def request_on_a_kept_http_connection(world):
    world.connection.request("POST", "/", b"escape")


@probe("inherited", before=open_log)
def log_to_an_open_handler(world):
    world.handler.emit(logging.LogRecord("x", 30, "", 0, "x", (), None))


@probe("inherited", "open.write", before=open_database)
def insert_by_an_open_sqlite_connection(world):
    world.connection.execute("insert into t values (2)")


@probe(before=map_file)
def write_to_a_mapped_file(world):
    """No system call, so no layer sees it: the one act of this list that is not contained."""
    world.memory[0] = 120
