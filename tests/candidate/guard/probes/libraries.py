"""Reaching out by the packages that most pipelines use."""

from __future__ import annotations

import logging.handlers
import smtplib

import httpx
import httpx2
import psycopg

from tests.candidate.guard.probes import probe


@probe("socket.connect")
def with_httpx2(world):
    httpx2.post(world.url, content=b"x", timeout=2)


@probe("socket.connect")
def with_httpx(world):
    httpx.post(world.url, content=b"x", timeout=2)


@probe("socket.connect")
def with_psycopg(world):
    psycopg.connect(f"host={world.tcp[0]} port={world.tcp[1]} user=x dbname=x connect_timeout=2")


@probe("socket.connect")
def with_smtplib(world):
    smtplib.SMTP(*world.tcp, timeout=2)


@probe("socket.send", "socket.connect")
def with_a_syslog_handler(world):
    handler = logging.handlers.SysLogHandler(address=world.udp)
    handler.handleError = lambda record: None
    handler.emit(logging.LogRecord("x", 30, "", 0, "x", (), None))


def pooled(world):
    world.client = httpx2.Client()
    world.client.get(world.url)


@probe("inherited", "socket.connect", before=pooled)
def pooled_httpx2_connection(world):
    world.client.post(world.url, content=b"escape")
