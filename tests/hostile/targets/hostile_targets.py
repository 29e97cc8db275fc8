"""An incumbent, and candidates that do what no candidate should, or what only a shadow can't let them do."""

import asyncio
import concurrent.futures
import os
import pathlib
import signal
import threading
import time
import urllib.request

import shadoweval
import shadoweval.protocols

CLOSED = "http://127.0.0.1:9/v1"
"""Nobody listens there, and no row allows it."""


@shadoweval.tool(effect="write")
def send_mail(to, body):
    return "sent"


@shadoweval.tool(effect="write")
def refund(order, cents):
    return "refunded"


@shadoweval.tool(effect="read")
def look(order):
    return {"total": 990}


@shadoweval.tool(effect="read")
def weather(city):
    return "sunny"


def incumbent(q):
    look(f"K-{q}")
    refund(f"K-{q}", 100)
    send_mail(f"u{q}@x.example", "done")
    return f"done {q}"


def plain(q):
    return f"done {q}"


def same(q):
    return plain(q)


def raises(q):
    raise ValueError(q)


def exits(q):
    os._exit(7)


def kills_itself(q):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(q):
    time.sleep(600)


def mails(q):
    """Writes what the incumbent never wrote; right in production."""
    send_mail("x", q)
    return f"done {q}"


async def mails_async(q):
    send_mail("x", q)
    return f"done {q}"


def mails_stream(q):
    yield "done "
    send_mail("x", q)
    yield q


def mails_in_thread(q):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(send_mail, "x", q).result()


async def mails_in_group(q):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(send_mail, "x", q))
    return f"done {q}"


def mails_and_hides_it(q):
    """Raises an error of its own for what was refused, as many libraries do."""
    try:
        send_mail("x", q)
    except Exception as error:
        raise RuntimeError("no mail today") from error


def mails_and_keeps_the_text(q):
    """Has lost the refusal itself when it gives up."""
    problems = []
    try:
        send_mail("x", q)
    except Exception as error:
        problems.append(str(error))
    if problems:
        raise RuntimeError(f"all channels failed: {problems}")


def mails_and_goes_on(q):
    """A refusal that is survived."""
    try:
        send_mail("x", q)
    except Exception:
        return f"done {q}"


def mails_then_breaks(q):
    """Survives the refusal, and fails by itself."""
    mails_and_goes_on(q)
    raise KeyError("total")


def other_order(q):
    """The same calls in another order: the read comes after the write that the record has behind it."""
    send_mail(f"u{q}@x.example", "done")
    refund(f"K-{q}", 100)
    look(f"K-{q}")
    return f"done {q}"


def half_connect(q):
    if int(q) % 2:
        urllib.request.urlopen(CLOSED)
    return f"done {q}"


def looks_up_a_name(q):
    urllib.request.urlopen("https://api.model.example/v1")
    return f"done {q}"


def starts_a_process(q):
    os.system("true")
    return f"done {q}"


def writes_a_file(q):
    with pathlib.Path(f"/var/tmp/shadoweval-hostile-{q}").open("w") as file:
        file.write(q)
    return f"done {q}"


def asks_for_the_weather(q):
    weather("Oslo")
    return f"done {q}"


def third_is_unspeakable(q):
    """A third of its answers holds what the redactor can't take."""
    return f"done {q}" if int(q) % 3 else "a \N{SNOWMAN}"


def cannot_redact_snowmen(text, key):
    if "\N{SNOWMAN}" in text:
        raise LookupError(text)
    return text


def read_answer(value):
    """`outcome=`: what the candidate returns is not what the incumbent does."""
    return shadoweval.records.Outcome(answer=value.removeprefix("done "))


def a_number(q):
    return int(q)


def stand_in(to, body):
    """For `send_mail`."""
    return "queued"


def takes_a_moment(q):
    time.sleep(0.05)
    return f"done {q}"


class Through:
    """A policy that breaks the rule: it lets a write through to the real tool."""

    def answer(self, request):
        if request.name == "send_mail":
            return shadoweval.protocols.StubAnswer(answered="live", result="really sent")
        return None


def writes_and_dies(q):
    send_mail("x", q)
    os._exit(7)


def writes_and_hangs(q):
    send_mail("x", q)
    time.sleep(600)


def slow_stand_in(to, body):
    time.sleep(0.4)
    return "queued"


def endless_stand_in(to, body):
    time.sleep(600)


async def slow_async_stand_in(to, body):
    await asyncio.sleep(0.4)
    return "queued"


@shadoweval.tool(effect="read")
def find_order(order):
    """Says by its result that there is none."""
    return {"total": 990} if order.startswith("K-") else {"error": f"no order {order}"}


def not_found(result):
    return result == "not found"


@shadoweval.tool(effect="read", failed=not_found)
def find_name(order):
    return "Ann" if order.startswith("K-") else "not found"


def finds(q):
    return f"{find_order(f'K-{q}')} {find_name(f'K-{q}')}"


def finds_nothing(q):
    return f"{find_order(q)} {find_name(q)}"


def leaves_a_thread(q):
    """A thread that sleeps for as long as its process lives."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return f"done {q}"


def acts_later(q):
    """A thread that acts after the answer."""
    threading.Thread(target=_late, daemon=True).start()
    return f"done {q}"


def _late():
    time.sleep(0.02)
    urllib.request.urlopen(CLOSED)


def refunds_too_much(q):
    look(f"K-{q}")
    refund(f"K-{q}", 10_000)
    send_mail(f"u{q}@x.example", "done")
    return f"done {q}"
