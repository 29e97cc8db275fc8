"""`make demo`: live-like traffic through both assistants while workers shadow the candidates, then the verdicts.

Everything lies in `.shadoweval/demo`, made anew each time; reports go to `reports/`.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
HOME: Final = ROOT / ".shadoweval" / "demo"
SHOP: Final = HOME / "shop.sqlite"
TWIN: Final = HOME / "shop_without_shadow.sqlite"
REPEATS: Final = 40
"""Documentation questions that somebody asks again, as happens in live traffic."""
EXPERIMENTS: Final = ("documentation", "support")

__all__ = ["main"]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the demo speaks to a person


def _prepare() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    os.environ.update(SHADOWEVAL_HOME=str(HOME), SHOP_DATABASE=str(SHOP))
    os.environ.pop("SHADOWEVAL_KILL", None)
    from pipelines.documentation_vectors import main as build_vectors  # noqa: PLC0415 - reads the environment
    from pipelines.shop import create_shop  # noqa: PLC0415

    build_vectors()
    create_shop(SHOP)
    create_shop(TWIN)


def _cases(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / "evals" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _traffic(rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """(experiment, arguments) in the order in which people ask, the two assistants' questions mixed."""
    questions = [{"question": case["query"]} for case in _cases("documentation")]
    questions += rng.sample(questions, REPEATS)
    rng.shuffle(questions)
    messages = [case["inputs"] for case in _cases("support")]
    rng.shuffle(messages)
    calls = [("documentation", q) for q in questions] + [("support", m) for m in messages]
    order = list(range(len(calls)))
    rng.shuffle(order)
    place = {"documentation": iter(questions), "support": iter(messages)}
    return [(calls[i][0], next(place[calls[i][0]])) for i in order]


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


def _check(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    if any(process.poll() is not None for process in processes):
        sys.exit(f"A worker ended before its time; its log lies in {HOME}.")


def _serve(calls: Sequence[tuple[str, dict[str, Any]]], processes: Sequence[subprocess.Popen[bytes]]) -> None:
    from pipelines.service import ask_documentation, ask_support  # noqa: PLC0415 - reads the environment

    ask = {"documentation": ask_documentation, "support": ask_support}
    for number, (name, arguments) in enumerate(calls, start=1):
        ask[name](**arguments)
        if number % 100 == 0 or number == len(calls):
            _check(processes)
            _say(f"  served {number:>4} of {len(calls)} live queries; shadowed so far: {_shadowed()}")


def _shadowed() -> str:
    return ", ".join(f"{name} {_funnel(name).paired}" for name in EXPERIMENTS)


def _funnel(name: str) -> Any:
    from shadoweval.worker.opening import load_experiment, open_store  # noqa: PLC0415 - reads the environment

    experiment = load_experiment(f"evals.{name}:{name}")
    with open_store(experiment) as store:
        return store.funnel(name, next(iter(experiment.candidates)))


def _wait_for_workers(processes: Sequence[subprocess.Popen[bytes]], *, served: dict[str, int]) -> None:
    shown = 0.0
    while True:
        _check(processes)
        funnels = {name: _funnel(name) for name in EXPERIMENTS}
        if all(f.waiting == 0 and f.paired + sum(f.failed.values()) >= served[n] for n, f in funnels.items()):
            return
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            _say(f"  waiting for the candidates: {_shadowed()}")
        time.sleep(0.5)


def _judge(name: str) -> str:
    from shadoweval import evaluate, report  # noqa: PLC0415 - reads the environment
    from shadoweval.worker.opening import load_experiment  # noqa: PLC0415

    evaluation = evaluate(load_experiment(f"evals.{name}:{name}"), closed=True)
    path = report(
        evaluation,
        ROOT / "reports" / f"{name}.html",
        command=f"shadoweval evaluate evals.{name}:{name} --closed --report reports/",
    )
    for verdict in evaluation.verdicts:
        _say(f"\n{verdict}")
    return str(path.relative_to(ROOT))


def _serve_twin(calls: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """The same messages to the incumbent alone, on a shop of its own, with nothing of ours around it."""
    from pipelines.support_agent import answer  # noqa: PLC0415 - reads the environment

    os.environ["SHOP_DATABASE"] = str(TWIN)
    for name, arguments in calls:
        if name == "support":
            answer(**arguments)


def main() -> int:
    """Run the demo; 0 when the shop holds exactly what the incumbent alone writes."""
    began = time.monotonic()
    _say("Preparing the documentation index and the shop (the first time takes minutes) ...")
    _prepare()
    from pipelines.shop import digest, writes  # noqa: PLC0415 - reads the environment

    calls = _traffic(random.Random(20261101))
    with ExitStack() as workers:
        processes = [workers.enter_context(_worker(name)) for name in EXPERIMENTS]
        _say(f"Serving {len(calls)} queries through both incumbents, each with a shadow ...")
        _serve(calls, processes)
        counts = {name: sum(called == name for called, _ in calls) for name in EXPERIMENTS}
        _wait_for_workers(processes, served={name: _mirrored(name, counts[name]) for name in EXPERIMENTS})
    reports = [_judge(name) for name in EXPERIMENTS]
    _serve_twin(calls)
    same = digest(SHOP) == digest(TWIN)
    _say(f"\nThe shop holds {len(writes(SHOP))} rows written by the incumbent, and is")
    _say(f"  {digest(SHOP)}  after live traffic with shadows,")
    _say(f"  {digest(TWIN)}  after the incumbent alone: {'identical' if same else 'DIFFERENT'}.")
    _say(f"\nReports: {', '.join(reports)}   ({time.monotonic() - began:.0f} s)")
    return 0 if same else 1


def _mirrored(name: str, served: int) -> int:
    """How many of the served calls were mirrored; the control share is left alone."""
    from shadoweval.worker.opening import load_experiment, open_receiver  # noqa: PLC0415 - reads the environment

    counted = open_receiver(load_experiment(f"evals.{name}:{name}")).counters()
    return counted.get("mirrored", served)


if __name__ == "__main__":
    sys.exit(main())
