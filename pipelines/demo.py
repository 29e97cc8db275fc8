"""`make demo`: live-like traffic through two assistants while workers shadow the candidates, and the verdicts.

The support agent, which needs no embedding, begins at once; the documentation assistant when the documentation is
embedded, which takes a minute or two the first time and nothing later. Everything lies in `.shadoweval/demo`, made anew
each time; reports go to `reports/`.
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
from concurrent.futures import ThreadPoolExecutor
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
    from shadoweval import load_experiment, open_store  # noqa: PLC0415

    ask = {"documentation": ask_documentation, "support": ask_support}[name]
    experiment = load_experiment(f"evals.{name}:{name}")
    _say(f"{name}: serving {len(calls)} queries through the incumbent, each with a shadow ...")
    with _worker(name) as worker, open_store(experiment) as store:
        for arguments in calls:
            ask(**arguments)
        mirrored, shown = _mirrored(name, len(calls)), time.monotonic()
        _say(f"{name}: served all; {mirrored} mirrored, the rest left alone to compare with")
        while True:
            _check(worker)
            funnel = store.funnel(name, next(iter(experiment.candidates)))
            if funnel.waiting == 0 and funnel.paired + sum(funnel.failed.values()) >= mirrored:
                break
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                _say(f"{name}: the candidate has run {funnel.paired} of {mirrored}")
            time.sleep(0.5)
    return _judge(name)


def _shadow_when_embedded(embedding: subprocess.Popen[bytes], calls: Sequence[dict[str, Any]]) -> str:
    if embedding.wait() != 0:
        sys.exit("The documentation could not be embedded; the reason stands above.")
    return _shadow("documentation", calls)


def _judge(name: str) -> str:
    from shadoweval import evaluate, load_experiment, report  # noqa: PLC0415 - reads the environment

    evaluation = evaluate(load_experiment(f"evals.{name}:{name}"), closed=True)
    path = report(
        evaluation,
        ROOT / "reports" / f"{name}.html",
        command=f"shadoweval evaluate evals.{name}:{name} --closed --report reports/",
    )
    for verdict in evaluation.verdicts:
        _say(f"\n{verdict}\n")
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
    with _embedding() as embedding, ThreadPoolExecutor(2) as assistants:
        support = assistants.submit(_shadow, "support", messages)
        documentation = assistants.submit(_shadow_when_embedded, embedding, questions)
        reports = [support.result()]
        _serve_twin(messages)
        same = digest(SHOP) == digest(TWIN)
        _say(
            f"\nThe shop holds {len(writes(SHOP))} rows written by the incumbent, and is"
            f"\n  {digest(SHOP)}  after live traffic with shadows,"
            f"\n  {digest(TWIN)}  after the incumbent alone: {'identical' if same else 'DIFFERENT'}.\n"
        )
        reports.append(documentation.result())
    _say(f"\nReports: {', '.join(reports)}   ({time.monotonic() - began:.0f} s)")
    return 0 if same else 1


def _mirrored(name: str, served: int) -> int:
    """How many of the served calls were mirrored; the control share is left alone."""
    from shadoweval import load_experiment, open_receiver  # noqa: PLC0415 - reads the environment

    counted = open_receiver(load_experiment(f"evals.{name}:{name}")).counters()
    return counted.get("mirrored", served)


if __name__ == "__main__":
    sys.exit(main())
