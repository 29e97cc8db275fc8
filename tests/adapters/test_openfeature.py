"""OpenFeature providers as flags."""

import subprocess
import sys
import threading

import pytest

from tests.waiting import until

api = pytest.importorskip("openfeature.api")

from openfeature.event import ProviderEvent, ProviderEventDetails  # noqa: E402
from openfeature.exception import ErrorCode, FlagNotFoundError  # noqa: E402
from openfeature.flag_evaluation import FlagResolutionDetails, Reason  # noqa: E402
from openfeature.provider import AbstractProvider, Metadata  # noqa: E402
from openfeature.provider._registry import provider_registry  # noqa: E402
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider  # noqa: E402

from shadoweval.adapters.openfeature import OpenFeatureFlags  # noqa: E402
from shadoweval.testing import FixedClock  # noqa: E402
from shadoweval.traffic.kill import KillSwitch  # noqa: E402


class Provider(AbstractProvider):
    """Answers booleans by a function of the evaluation context."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.asked = []

    def get_metadata(self):
        return Metadata(name="test")

    def resolve_boolean_details(self, flag_key, default_value, evaluation_context=None):
        self.asked.append((flag_key, default_value, evaluation_context))
        answer = self.answer(evaluation_context)
        return answer if isinstance(answer, FlagResolutionDetails) else FlagResolutionDetails(value=answer)

    resolve_string_details = resolve_integer_details = resolve_float_details = resolve_object_details = None


@pytest.fixture(name="make")
def _make(tmp_path):
    def make(provider, **options):
        getattr(api, "set_provider_and_wait", api.set_provider)(provider, domain=str(tmp_path))
        return OpenFeatureFlags(domain=str(tmp_path), **options)

    return make


def in_memory(**flag):
    return InMemoryProvider({"support": InMemoryFlag(variants={"on": True, "off": False}, **flag)})


def test_the_provider_is_asked_once_with_unit_and_attributes(make):
    """The unit is the targeting key, the default is no, and one call is one evaluation."""
    provider = Provider(lambda context: True)

    assert make(provider).mirrored("support", "u-1", {"plan": "pro"})

    ((flag, default, context),) = provider.asked
    assert (flag, default, context.targeting_key, dict(context.attributes)) == (
        "support",
        False,
        "u-1",
        {"plan": "pro"},
    )


def test_the_flag_may_have_a_name_of_its_own(make):
    """`flag` is asked for instead of the experiment's name."""
    provider = Provider(lambda context: True)

    make(provider, flag="shadow-support").mirrored("support", "u-1", {})

    assert provider.asked[0][0] == "shadow-support"


def test_targeting_goes_by_attributes(make):
    """A context evaluator sees the attributes and decides."""

    def by_plan(flag, context):
        on = context.attributes.get("plan") == "pro"
        return FlagResolutionDetails(value=on, reason=Reason.TARGETING_MATCH)

    flags = make(in_memory(default_variant="off", context_evaluator=by_plan))

    assert flags.mirrored("support", "u-1", {"plan": "pro"})
    assert not flags.mirrored("support", "u-1", {"plan": "free"})
    assert not flags.mirrored("support", "u-1", {})


def test_without_a_unit_the_provider_is_not_asked(make):
    """A provider would answer a missing targeting key with its default variant, which may be on."""
    provider = Provider(lambda context: True)

    assert make(provider).loss("support", "", {}) == "not_targeted"
    assert provider.asked == []


def test_a_disabled_flag_in_memory_is_off(make):
    """openfeature-sdk's InMemoryProvider serves a disabled flag's variant; here it is off."""
    flags = make(in_memory(default_variant="on", state=InMemoryFlag.State.DISABLED))

    assert flags.loss("support", "u-1", {}) == "flag_off"


@pytest.mark.parametrize("reason", ["ERROR", "STALE", "DISABLED", Reason.STALE, Reason.DISABLED])
def test_a_yes_for_a_bad_reason_is_no(make, reason):
    """Values that are stale, from a disabled flag or beside an error are not believed."""
    flags = make(Provider(lambda context: FlagResolutionDetails(value=True, reason=reason)))

    assert flags.loss("support", "u-1", {}) in {"flag_error", "flag_off"}


@pytest.mark.parametrize("reason", ["STATIC", "TARGETING_MATCH", "SPLIT", "CACHED", "DEFAULT", None, "VENDOR"])
def test_a_yes_for_another_reason_is_yes(make, reason):
    """Reasons of the provider's own are its business."""
    flags = make(Provider(lambda context: FlagResolutionDetails(value=True, reason=reason)))

    assert flags.mirrored("support", "u-1", {})


def test_further_reasons_can_be_refused(make):
    """With `refused={"DEFAULT"}` a rule without a result is no."""
    provider = Provider(lambda context: FlagResolutionDetails(value=True, reason=Reason.DEFAULT))

    assert make(provider, refused=frozenset({"DEFAULT"})).loss("support", "u-1", {}) == "flag_off"


def raising(error):
    def answer(context):
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda context: "true",
        lambda context: 1,
        lambda context: None,
        raising(RuntimeError("down")),
        raising(FlagNotFoundError("no such flag")),
        raising(TimeoutError()),
    ],
    ids=["text", "number", "none", "crash", "unknown", "timeout"],
)
def test_wrong_types_and_errors_are_no(make, answer):
    """A text, a number, nothing, and whatever is raised: not mirrored, as a flag error."""
    flags = make(Provider(answer))

    assert flags.loss("support", "u-1", {}) == "flag_error"
    assert flags.mirrored("support", "u-1", {}) is False


def test_an_unknown_flag_is_no(make):
    """What the provider does not know is not mirrored."""
    assert make(in_memory(default_variant="on")).loss("checkout", "u-1", {}) == "flag_error"


class Client:
    """A client of somebody else's making."""

    def __init__(self, answer):
        self.answer = answer

    def get_boolean_details(self, flag, default, context):
        return self.answer(context)


@pytest.mark.parametrize(
    "answer", [raising(RuntimeError("hook")), lambda c: type("D", (), {"value": "on", "reason": ""})]
)
def test_a_hostile_client_is_no(answer):
    """Clients that raise or answer with other types are contained too."""
    assert OpenFeatureFlags(client=Client(answer)).loss("support", "u-1", {}) == "flag_error"


def test_a_slow_provider_is_left_alone_for_a_while(make):
    """One evaluation beyond patience: the answer stands, then nobody asks until the pause is over."""
    clock, slow = FixedClock(), [0.2]

    def answer(context):
        clock.tick(slow[0])
        return True

    provider = Provider(answer)
    flags = make(provider, patience=0.1, pause=30.0, clock=clock.seconds)

    assert flags.mirrored("support", "u-1", {})
    assert flags.loss("support", "u-2", {}) == "flag_error"
    clock.tick(29)
    assert flags.loss("support", "u-3", {}) == "flag_error"
    assert len(provider.asked) == 1
    slow[0] = 0.01
    clock.tick(1.1)
    assert flags.mirrored("support", "u-4", {})
    assert flags.mirrored("support", "u-5", {})


def test_a_hanging_provider_holds_only_those_who_were_in_it(make):
    """While one evaluation hangs, calls that come after the patience are answered at once, without it."""
    clock, inside, let_go = FixedClock(), threading.Event(), threading.Event()

    def answer(context):
        if context.targeting_key == "hangs":
            inside.set()
            let_go.wait(30)
        return True

    provider = Provider(answer)
    flags = make(provider, patience=0.1, pause=30.0, clock=clock.seconds)
    thread = threading.Thread(target=flags.mirrored, args=("support", "hangs", {}))
    thread.start()
    try:
        assert inside.wait(30)
        clock.tick(0.2)
        assert flags.loss("support", "u-2", {}) == "flag_error"
        assert flags.loss("support", "u-3", {}) == "flag_error"
        assert len(provider.asked) == 1
        clock.tick(31)
        assert flags.mirrored("support", "u-4", {})
    finally:
        let_go.set()
        thread.join(30)


def test_the_request_path_does_not_import_openfeature():
    """Everything but this adapter's constructor costs the standard library and msgspec."""
    code = (
        "import sys, shadoweval.traffic.flags, shadoweval.adapters.openfeature, shadoweval.traffic.breaker, "
        "shadoweval.traffic.budget, shadoweval.traffic.ladder_file, shadoweval.traffic.selftest\n"
        "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "allowed = {'msgspec', 'shadoweval', 'typing_extensions', 'cython_runtime'}  # msgspec, our .so\n"
        "print(sorted(n for n in names if not n.startswith('_') and n not in allowed))\n"
    )
    start = f"import sys; sys.path[:0] = {sys.path!r}\n"  # -S: nothing that .pth files import
    found = subprocess.run([sys.executable, "-S", "-c", start + code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_a_flag_that_is_off_for_everybody_kills(make, tmp_path):
    """Static and off, or disabled: what is in flight ends too, and the flag is named. On again, it runs again."""
    flags = make(in_memory(default_variant="on"))
    switch = KillSwitch("support", home=tmp_path, also=flags.kill_reason, interval=0.0)
    assert not switch.killed()

    for flag in ({"default_variant": "off"}, {"default_variant": "on", "state": InMemoryFlag.State.DISABLED}):
        make(in_memory(**flag))
        assert "the OpenFeature flag 'support'" in switch.reason()

    make(in_memory(default_variant="on"))
    assert not switch.killed()


@pytest.mark.parametrize(
    "told", [False, FlagResolutionDetails(value=False, reason=Reason.TARGETING_MATCH),
             FlagResolutionDetails(value=False, reason=Reason.SPLIT)],
)  # fmt: skip
def test_a_flag_that_is_off_for_somebody_does_not(make, told):
    """A rule's or a share's no concerns the one who asked; what others began goes on."""
    assert make(Provider(lambda context: told)).kill_reason("support") is None


@pytest.mark.parametrize("event", ["PROVIDER_ERROR", "PROVIDER_STALE", "fatal"])
@pytest.mark.parametrize("answer", [True, False])
def test_a_provider_that_is_not_ready_says_nothing(make, tmp_path, event, answer):
    """Its file is gone, its service away: it may answer as before, and counts for no; what is in flight ends."""
    provider = Provider(lambda context: answer)
    flags = make(provider, kill="stop")
    switch = KillSwitch("support", home=tmp_path, also=flags.kill_reason, interval=0.0)
    code = ErrorCode.PROVIDER_FATAL if event == "fatal" else None
    provider.attach(provider_registry.dispatch_event)
    kind = ProviderEvent.PROVIDER_STALE if event == "PROVIDER_STALE" else ProviderEvent.PROVIDER_ERROR
    provider.emit(kind, ProviderEventDetails(message="its file is gone", error_code=code))

    assert flags.loss("support", "u-1", {}) == "flag_error"
    assert "the OpenFeature provider" in switch.reason()
    assert "until it is READY" in flags.reason()

    provider.emit_provider_ready(ProviderEventDetails())
    assert flags.reason() is None
    assert flags.loss("support", "u-1", {}) == (None if answer else "flag_off")
    assert ("'stop'" in (switch.reason() or "")) is answer


def test_a_provider_that_never_got_ready_says_nothing(tmp_path):
    """While it starts, and after it could not; older releases wait for it where it is set."""
    begun, go_on, beside = threading.Event(), threading.Event(), list[bool]()

    class Starting(Provider):
        def initialize(self, evaluation_context):
            beside.append(threading.current_thread() is not threading.main_thread())
            begun.set()
            if beside[0]:
                go_on.wait(60)
            raise RuntimeError("no file")

    api.set_provider(Starting(lambda context: True), domain=f"{tmp_path}/starting")
    flags = OpenFeatureFlags(domain=f"{tmp_path}/starting")
    begun.wait(60)
    starting = flags.loss("support", "u-1", {}), flags.kill_reason("support")
    go_on.set()
    until(lambda: "ERROR" in (flags.reason() or ""))

    assert starting == ("flag_error", f"the OpenFeature provider, which is {'NOT_READY' if beside[0] else 'ERROR'}")
    assert flags.loss("support", "u-1", {}) == "flag_error"
    assert flags.kill_reason("support") == "the OpenFeature provider, which is ERROR"


@pytest.mark.parametrize("status", [lambda: 1 / 0, lambda: None])
def test_a_client_that_cannot_say_its_status_is_no(status):
    """What can't be known is a no."""
    client = Client(raising(AssertionError("nobody asks it")))
    client.get_provider_status = status
    flags = OpenFeatureFlags(client=client)

    assert flags.loss("support", "u-1", {}) == "flag_error"
    assert "without a status" in flags.kill_reason("support")


def test_a_kill_flag_that_is_old_kills(make):
    """A no of yesterday is none of today."""
    stale = FlagResolutionDetails(value=False, reason=Reason.STALE)
    assert "'stop'" in make(Provider(lambda context: stale), kill="stop").kill_reason("support")


def kill_flag(variant):
    flag = InMemoryFlag(variants={"on": True, "off": False}, default_variant=variant)
    return InMemoryProvider({"stop": flag, "support": InMemoryFlag(variants={"on": True}, default_variant="on")})


def test_a_kill_flag_kills(make):
    """On: killed. Off: not. Missing: it can't be known, so killed."""
    assert "'stop'" in make(kill_flag("on"), kill="stop").kill_reason("support")
    assert make(kill_flag("off"), kill="stop").kill_reason("support") is None
    assert "'stop'" in make(in_memory(default_variant="on"), kill="stop").kill_reason("support")


def test_a_resting_provider_kills_as_before(make):
    """A provider that got slow is left alone; what it said last holds."""
    clock = FixedClock()
    answers = [True, True]

    def answer(context):
        clock.tick(1.0 if len(answers) == 1 else 0.0)
        return FlagResolutionDetails(value=answers.pop(), reason=Reason.STATIC)

    provider = Provider(answer)
    flags = make(provider, clock=clock.seconds)
    assert flags.kill_reason("support") is None
    assert flags.kill_reason("support") is None
    assert flags.kill_reason("support") is None  # resting: a third evaluation would fail
    assert len(provider.asked) == 2
