"""What every flag provider promises, ours and yours."""

import time

import pytest

from shadoweval.counters import LOSSES
from shadoweval.protocols import FlagProvider
from shadoweval.testing import FixedFlags
from shadoweval.traffic.flags import StaticFlags

ATTRIBUTES = {"plan": "pro", "headers": {"x": "1"}, "big": 2**80, "odd": object()}


class Static:
    """A flag file."""

    def __init__(self, folder):
        self.file = folder / "flags.toml"

    def on(self):
        self.file.write_text("[experiments.support]\nenabled = true\nshare = 1\n", encoding="utf-8")
        return StaticFlags(self.file)

    def off(self):
        self.file.write_text("[experiments.support]\nenabled = false\nshare = 1\n", encoding="utf-8")
        return StaticFlags(self.file)

    def broken(self):
        self.file.write_text("[experiments.support", encoding="utf-8")
        return StaticFlags(self.file)


class OpenFeature:
    """A provider behind OpenFeature, each with a domain of its own."""

    def __init__(self, folder):
        self.domain = str(folder)

    def _made(self, provider):
        api = pytest.importorskip("openfeature.api")
        from shadoweval.adapters.openfeature import OpenFeatureFlags

        getattr(api, "set_provider_and_wait", api.set_provider)(provider, domain=self.domain)
        return OpenFeatureFlags(domain=self.domain)

    def _in_memory(self, variant):
        memory = pytest.importorskip("openfeature.provider.in_memory_provider")
        flag = memory.InMemoryFlag(variant, {"on": True, "off": False, "text": "true"})
        return self._made(memory.InMemoryProvider({"support": flag}))

    def on(self):
        return self._in_memory("on")

    def off(self):
        return self._in_memory("off")

    def broken(self):
        return self._in_memory("text")


class Fixed:
    """The public fake."""

    def __init__(self, folder):
        del folder

    def on(self):
        return FixedFlags(answer=True)

    def off(self):
        return FixedFlags(answer=False)

    def broken(self):
        return FixedFlags(answer=RuntimeError("broken"))


@pytest.fixture(name="maker", params=[Static, OpenFeature, Fixed], ids=["file", "openfeature", "fake"])
def _maker(request, tmp_path):
    return request.param(tmp_path)


def test_it_is_one(maker):
    """It can be asked with an experiment, a unit and attributes."""
    flags: FlagProvider = maker.on()

    assert isinstance(flags, FlagProvider)
    assert flags.mirrored("support", "u-1", {}) is True


def test_a_no_has_a_reason(maker):
    """`loss` agrees with `mirrored` and is a counted name; what may be mirrored has no loss, and nothing kills it."""
    on = maker.on()

    assert on.loss("support", "u-1", ATTRIBUTES) is None
    assert on.kill_reason("support") is None
    assert on.reason() is None
    assert 0.0 < on.share("support") <= 1.0

    off = maker.off()
    assert off.loss("support", "u-1", ATTRIBUTES) in LOSSES
    assert 0.0 <= off.share("support") <= 1.0
    assert off.kill_reason("support") is None or isinstance(off.kill_reason("support"), str)


def test_yes_and_no_are_booleans(maker):
    """On is True and off is False, whatever attributes a call carries, and they are left as they were."""
    before = dict(ATTRIBUTES)

    assert maker.on().mirrored("support", "u-1", ATTRIBUTES) is True
    assert maker.off().mirrored("support", "u-1", ATTRIBUTES) is False
    assert before == ATTRIBUTES


def test_broken_is_never_yes(maker):
    """What can't be evaluated is no, by answer or by raising."""
    try:
        answer = maker.broken().mirrored("support", "u-1", {})
    except Exception:
        answer = False

    assert answer is False


def test_a_thousand_answers_take_no_time(maker):
    """An answer is given at once; a second for a thousand is a bound for liveness, not a measurement."""
    flags = maker.on()
    began = time.thread_time()
    for i in range(1000):
        flags.mirrored("support", f"u-{i}", ATTRIBUTES)

    assert time.thread_time() - began < 10
