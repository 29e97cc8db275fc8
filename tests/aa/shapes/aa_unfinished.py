"""Tool calls for whose end nobody waited: cancelled, overtaken by another, or left running when the run was over."""

import asyncio
import contextlib
import threading

from aa_rows import call, shape
from langchain_core.tools import tool as langchain_tool

from shadoweval import tool

ASKED = (call("How?"), call("Why?"))
NEVER = 3600.0


@tool(effect="read")
async def look(question, seconds):
    await asyncio.sleep(seconds)
    return f"found {question}"


@tool(effect="write")
async def log(question):
    await asyncio.sleep(NEVER)


@langchain_tool
async def look_up(question: str) -> str:
    """Look up."""
    await asyncio.sleep(NEVER)
    return question


@shape(*ASKED)
async def too_slow(question):
    try:
        return await asyncio.wait_for(look(question, NEVER), 0.05)
    except TimeoutError:
        return f"no time for {question}"


@shape(*ASKED)
async def overtaken(question):
    hedged = [asyncio.create_task(look(question, seconds)) for seconds in (NEVER, 0)]
    done, late = await asyncio.wait(hedged, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    return [task.result() for task in done]


@shape(*ASKED)
async def left_running(question):
    tasks = asyncio.get_running_loop()
    left = [tasks.create_task(log(question)), tasks.create_task(look_up.ainvoke({"question": question}))]
    return f"{question} {len(left)} {await look(question, 0.01)}"


@tool(effect="read")
def wait(question, event):
    event.wait(NEVER)


@shape(*ASKED)
def left_in_a_thread(question):
    event = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(threading.Timer(2.0, event.set).start)  # ends some time after the run
        thread = threading.Thread(target=wait, args=(question, event), daemon=True)
        thread.start()
        thread.join(0.02)
    return question
