import gzip
import os
import sys
import urllib.request
import zlib
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("The benchmark of the mirror places processes on cores", allow_module_level=True)

from benchmarks import mirror_shapes
from benchmarks.mirror_processes import Sink, Worker, core, tree
from benchmarks.mirror_rate import compared
from benchmarks.mirror_tables import Goals, added
from benchmarks.mirror_targets import Target
from benchmarks.mirror_workloads import Current, build, payloads
from shadoweval.capture import Recorder, recording, tool


@pytest.fixture
def sink():
    running = Sink()
    yield running
    running.close()


def _round(times, *, slower=0.0):
    return {"times": [each + slower for each in times], "count": len(times), "cpu": 0.0, "lost": 0}


def test_a_shift_of_a_tenth_of_a_millisecond_is_told_in_every_view():
    """What is added to every call comes out of each of the three, whatever the rounds' own levels are."""
    levels = [[1000.0 * level + i for i in range(500)] for level in (1, 5, 2, 9, 3)]
    rounds = [{"bare": _round(times), "ours": _round(times, slower=100.0)} for times in levels]
    ratios = compared(rounds, "ours")
    for view in ("p50", "p99", "p99 paired", "p99 second best", "p99.9"):
        assert ratios[view] == pytest.approx(0.1)
    assert ratios["calls"] == 2500


def test_one_disturbed_round_does_not_move_the_paired_and_the_second_best_view():
    """The pooled view shows it; that is why there are three."""
    times = [1000.0 + i for i in range(500)]
    rounds = [{"bare": _round(times), "ours": _round(times, slower=50_000.0 if n == 3 else 0.0)} for n in range(7)]
    ratios = compared(rounds, "ours")
    assert ratios["p99 paired"] == ratios["p99 second best"] == 0.0
    assert ratios["p99"] > 10


def test_targets_are_compared_in_the_rounds_that_they_ran_in():
    """A peer that runs in two rounds of three is not compared with the bare function of the third."""
    times = [1000.0 + i for i in range(500)]
    rounds = [{"bare": _round(times), "peer": _round(times, slower=7.0)} for _ in range(2)]
    rounds.append({"bare": _round(times, slower=9_000.0)})
    assert compared(rounds, "peer")["p99"] == pytest.approx(0.007)
    assert added([{"bare": {"p50": 1e-6}, "ours": {"p50": 4e-6}}, {"bare": {"p50": 1e-6}}], "ours", "p50") == (
        pytest.approx(3.0)
    )


@pytest.mark.parametrize(
    ("value", "bar", "met"),
    [
        (1.0, {"most": 1.0}, True),
        (1.1, {"most": 1.0}, False),
        (5.0, {"least": 5.0}, True),
        (4.9, {"least": 5.0}, False),
        (float("nan"), {"most": 1.0}, False),
        (float("nan"), {"least": 1.0}, False),
    ],
)
def test_a_goal_without_a_number_is_missed(value, bar, met, capsys):
    """So is one beyond its bar; and it is printed as such."""
    goals = Goals()
    goals.check("G0", "something", value, **bar)
    assert goals.met is met
    assert capsys.readouterr().out.split()[0] == ("ok" if met else "MISSED")


def test_the_sink_counts_every_call_once(sink):
    """By target, through compression, and however often it is sent."""
    bodies = [("", b"MK0200000001 MK0200000002"), ("gzip", b"MK0200000002 MK0300000001"), ("deflate", b"MK02000000ff")]
    squeeze = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}
    for encoding, body in bodies:
        headers = {"Content-Encoding": encoding} if encoding else {}
        request = urllib.request.Request(sink.url + "/v1/traces", data=squeeze[encoding](body), headers=headers)
        urllib.request.urlopen(request, timeout=60).close()
    assert sink.markers() == {"02": 3, "03": 1}
    assert sink.markers() == {}


def test_a_block_of_mirrored_calls_loses_none_and_leaves_the_measured_core(sink, tmp_path):
    """Its times, its bill and its losses come back; afterwards neither it nor its collector is on core 0."""
    worker = Worker("mirror, ring", sink=sink, folder=tmp_path)
    try:
        answer = worker.run(workload="rag", count=100, raw=True)
        assert answer["lost"] == 0
        assert len(answer["times"]) == 100
        assert answer["threads"] == 1
        assert answer["cpu"] > 0
        assert len(worker.processes) == 2
        for pid in tree(worker.running.pid):
            assert os.sched_getaffinity(pid) == {core(1)}
    finally:
        worker.close()


def test_what_is_not_installed_is_skipped_by_name(sink, tmp_path):
    """An interpreter without the peer's packages says which one it misses."""
    worker = Worker("Opik", sink=sink, folder=tmp_path)
    if worker.skipped is None:
        worker.close()
        pytest.skip("opik is installed here")
    assert worker.skipped == "not installed: opik"
    worker.close()


@pytest.mark.parametrize("kind", mirror_shapes.PASSAGES)
def test_every_kind_of_passages_is_what_the_pipeline_returns(kind):
    """Five passages, in the returned value where the workload's name says so; the text is the same in all kinds."""
    Current.payload = payload = payloads(f"rag/{kind}", count=1)[0]
    plain = payloads("rag", count=1)[0]
    for name, keys in ((f"rag/{kind}", {"answer"}), (f"rag/{kind}/returned", {"answer", "contexts"})):
        rag = build(name, Target("", Path()).wrap, asynchronous=False, work=(0, 0, 0.0))
        assert set(rag("why")) == keys
    assert len(payload["passages"]) == 5
    assert all(
        each["text"] in repr(passage) for each, passage in zip(plain["passages"], payload["passages"], strict=True)
    )


@pytest.mark.parametrize("how", ["keyword", "position"])
@pytest.mark.parametrize("kind", mirror_shapes.RESULTS)
def test_every_kind_of_result_is_recorded_as_a_call(kind, how):
    """Six tool calls with the arguments of the payload, however they are passed."""
    Current.payload = payload = payloads(f"agent/{kind}/{how}", count=1)[0]
    recorder = Recorder()
    with recording(recorder):
        steps = {"tool": lambda name: tool(name=name), "root": lambda _name: lambda function: function}
        build(f"agent/{kind}/{how}", lambda step, name, f: steps[step](name)(f), asynchronous=False, work=(0, 0, 0.0))(
            "q"
        )
    assert [dict(call.arguments) for call in recorder.parts().tool_calls] == [asked for asked, _ in payload["tools"]]
