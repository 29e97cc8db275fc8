"""`make demo`: live-like traffic through two assistants while workers shadow the candidates, and the verdicts.

First the support agent, which needs no embedding, while the documentation is embedded beside it (the first time this
takes a minute or two); then the documentation assistant. Everything lies in `.shadoweval/demo`, made anew each time;
reports go to `reports/`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
HOME: Final = ROOT / ".shadoweval" / "demo"
SHOP: Final = HOME / "shop.sqlite"
TWIN: Final = HOME / "shop_without_shadow.sqlite"
REPEATS: Final = 40
"""Documentation questions that somebody asks again, as happens in live traffic."""

__all__ = ["main"]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the demo speaks to a person


def _prepare() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    os.environ.update(SHADOWEVAL_HOME=str(HOME), SHOP_DATABASE=str(SHOP))
    os.environ.pop("SHADOWEVAL_KILL", None)
    from pipelines.shop import create_shop  # noqa: PLC0415 - reads the environment

    create_shop(SHOP)
    create_shop(TWIN)


@contextmanager
def _embedding() -> Iterator[subprocess.Popen[bytes]]:
    """The documentation's vectors, computed by processes that let everything else go first; progress on stderr."""
    process = subprocess.Popen([sys.executable, "-m", "pipelines.documentation_build"], cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _cases(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / "evals" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _traffic(name: str, rng: random.Random) -> list[dict[str, Any]]:
    """What one assistant is asked, as arguments, in the order in which people ask."""
    if name == "support":
        calls = [case["inputs"] for case in _cases(name)]
    else:
        calls = [{"question": case["query"]} for case in _cases(name)]
        calls += rng.sample(calls, REPEATS)
    rng.shuffle(calls)
    return calls


@contextmanager
def _worker(name: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "shadoweval", "worker", f"evals.{name}:{name}"]
    with (HOME / f"worker-{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _check(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is not None:
        sys.exit(f"A worker ended before its time; its log lies in {HOME}.")


def _shadow(name: str, calls: Sequence[dict[str, Any]]) -> str:
    """Serve the calls, each with a shadow; wait for the shadows; judge. Returns where the report lies."""
    from pipelines.service import ask_documentation, ask_support  # noqa: PLC0415 - reads the environment

    ask = {"documentation": ask_documentation, "support": ask_support}[name]
    _say(f"\n{name}: serving {len(calls)} queries through the incumbent, each with a shadow ...")
    with _worker(name) as worker:
        for number, arguments in enumerate(calls, start=1):
            ask(**arguments)
            if number % 100 == 0 or number == len(calls):
                _check(worker)
                _say(f"  served {number:>3} of {len(calls)}; shadowed so far: {_funnel(name).paired}")
        _wait_for(worker, name, mirrored=_mirrored(name, len(calls)))
    return _judge(name)


def _funnel(name: str) -> Any:
    from shadoweval import load_experiment, open_store  # noqa: PLC0415 - reads the environment

    experiment = load_experiment(f"evals.{name}:{name}")
    with open_store(experiment) as store:
        return store.funnel(name, next(iter(experiment.candidates)))


def _wait_for(worker: subprocess.Popen[bytes], name: str, *, mirrored: int) -> None:
    shown = time.monotonic()
    while True:
        _check(worker)
        funnel = _funnel(name)
        if funnel.waiting == 0 and funnel.paired + sum(funnel.failed.values()) >= mirrored:
            return
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            _say(f"  waiting for the candidate: {funnel.paired} of {mirrored}")
        time.sleep(0.2)


def _judge(name: str) -> str:
    from shadoweval import evaluate, load_experiment, report  # noqa: PLC0415 - reads the environment

    evaluation = evaluate(load_experiment(f"evals.{name}:{name}"), closed=True)
    path = report(
        evaluation,
        ROOT / "reports" / f"{name}.html",
        command=f"shadoweval evaluate evals.{name}:{name} --closed --report reports/",
    )
    for verdict in evaluation.verdicts:
        _say(f"\n{verdict}")
    return str(path.relative_to(ROOT))


def _serve_twin(calls: Sequence[dict[str, Any]]) -> None:
    """The same messages to the incumbent alone, on a shop of its own, with nothing of ours around it."""
    from pipelines.support_agent import answer  # noqa: PLC0415 - reads the environment

    os.environ["SHOP_DATABASE"] = str(TWIN)
    for arguments in calls:
        answer(**arguments)


def main() -> int:
    """Run the demo; 0 when the shop holds exactly what the incumbent alone writes."""
    began = time.monotonic()
    _prepare()
    from pipelines.shop import digest, writes  # noqa: PLC0415 - reads the environment

    rng = random.Random(20261101)
    messages, questions = _traffic("support", rng), _traffic("documentation", rng)
    with _embedding() as embedding:
        reports = [_shadow("support", messages)]
        _serve_twin(messages)
        same = digest(SHOP) == digest(TWIN)
        _say(f"\nThe shop holds {len(writes(SHOP))} rows written by the incumbent, and is")
        _say(f"  {digest(SHOP)}  after live traffic with shadows,")
        _say(f"  {digest(TWIN)}  after the incumbent alone: {'identical' if same else 'DIFFERENT'}.")
        if embedding.wait() != 0:
            sys.exit("The documentation could not be embedded; the reason stands above.")
    reports.append(_shadow("documentation", questions))
    _say(f"\nReports: {', '.join(reports)}   ({time.monotonic() - began:.0f} s)")
    return 0 if same else 1


def _mirrored(name: str, served: int) -> int:
    """How many of the served calls were mirrored; the control share is left alone."""
    from shadoweval import load_experiment, open_receiver  # noqa: PLC0415 - reads the environment

    counted = open_receiver(load_experiment(f"evals.{name}:{name}")).counters()
    return counted.get("mirrored", served)


if __name__ == "__main__":
    sys.exit(main())
