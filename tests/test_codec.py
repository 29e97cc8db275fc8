"""Values and envelopes to bytes and back."""

import dataclasses
import datetime as dt
import decimal
import enum
import io
import json
import threading
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.codec import MAX_BYTES, SCHEMA, canonical, decode_envelope, encode_envelope, freeze, plain, thaw
from shadoweval.errors import CorruptFrameError, NewerSchemaError, TooLargeError, UncopyableError
from shadoweval.records import Envelope, Failure, Hit, Observation, Outcome, Query, ToolCall

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers() | st.text())
        | st.sets(st.text())
    ),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: tuple[str, ...] = ()


class Packed(msgspec.Struct):
    y: int


def envelope(**changes):
    query = Query(id="q1", text="why?", inputs=freeze((("why?",), {})), asked_at=NOON, attributes={"plan": "free"})
    outcome = Outcome(
        answer="because",
        hits=(Hit(id="d1", rank=1, score=0.5),),
        tool_calls=(ToolCall(name="t", arguments={"a": 1}, result=[1]),),
    )
    served = Observation(
        query_id="q1", arm="incumbent", place="served", outcome=outcome, started_at=NOON, duration=0.25
    )
    return Envelope(**{"experiment": "e", "query": query, "served": served, **changes})


@dataclasses.dataclass(slots=True, kw_only=True)
class Slotted:
    name: str
    count: int = 3


class Lazy:
    """Its copies have set what it sets when it is first asked for."""

    def __init__(self, name):
        self.name = name

    def __getstate__(self):
        return self.__dict__.copy()

    def __setstate__(self, state):
        self.__dict__.update({"cache": {}, **state})


class Raised(Exception):
    def __init__(self, name, *, code):
        super().__init__(f"no {name}")
        self.code = code


class RaisedBySystem(OSError):
    def __init__(self, name):
        super().__init__(2, "nothing there", name)


class TestFreeze:
    @given(values)
    def test_round_trip(self, value):
        """What is frozen comes back equal, with the same types."""
        thawed = thaw(freeze(value))

        assert thawed == value
        assert repr(type(thawed)) == repr(type(value))

    @pytest.mark.parametrize(
        "value",
        [
            Point(1, ("a",)),
            Packed(2),
            Colour.RED,
            uuid.UUID(int=5),
            decimal.Decimal("1.10"),
            2**80,
            -(2**70),
            3 + 4j,
            {"nested": [Point(1), (Colour.RED,)]},
        ],
        ids=repr,
    )
    def test_keeps_classes(self, value):
        """Dataclasses, structs, enums and numbers of any size come back as what they were."""
        assert thaw(freeze(value)) == value

    def test_keeps_langchain_messages(self):
        """Messages and documents of LangChain come back as messages and documents."""
        documents = pytest.importorskip("langchain_core.documents")
        messages = pytest.importorskip("langchain_core.messages")
        value = [messages.HumanMessage("hi", id="m1"), documents.Document("text", id="d1", metadata={"k": 1})]

        assert thaw(freeze(value)) == value

    def test_is_a_snapshot(self):
        """What is done to a value after it was frozen does not show."""
        value = {"history": ["a"]}

        frozen = freeze(value)
        value["history"].append("b")

        assert thaw(frozen) == {"history": ["a"]}

    def test_plain_keeps_no_reference(self):
        """The plain form shares no mutable part with the value."""
        value = {"history": [["a"]]}

        made = plain(value)
        value["history"][0].append("b")

        assert made == {"history": [["a"]]}

    @pytest.mark.parametrize(
        "value",
        [lambda: 1, object(), [].append, iter([1]), {"deep": [object()]}, io.BytesIO(b"x"), threading.Lock()],
        ids=["lambda", "object", "bound", "iterator", "deep", "file", "lock"],
    )
    def test_refuses_what_cannot_be_rebuilt(self, value):
        """A function without a name, an iterator or a bare object is an error, never a reference."""
        with pytest.raises(UncopyableError):
            freeze(value)

    def test_names_the_place(self):
        """The error says which part could not be copied."""
        with pytest.raises(UncopyableError, match=r"\['a'\]\['b'\]") as caught:
            freeze({"a": {"b": object()}})

        assert caught.value.path == "['a']['b']"

    def test_refuses_local_classes(self):
        """A class that no other process can import is refused when frozen, not found out when thawed."""

        @dataclasses.dataclass
        class Local:
            x: int

        with pytest.raises(UncopyableError, match="can't be imported"):
            freeze(Local(1))

    def test_refuses_depth(self):
        """A structure without an end is an error, not a RecursionError."""
        value: list = []
        for _ in range(10_000):
            value = [value]

        with pytest.raises(UncopyableError, match="recursive"):
            freeze(value)

    @pytest.mark.parametrize("value", ["x" * 2_000, ["x" * 100] * 20, {str(i): i for i in range(500)}])
    def test_caps_the_size(self, value):
        """A value over its cap is refused, and the error says how to raise the cap."""
        with pytest.raises(TooLargeError, match="max_bytes") as caught:
            freeze(value, max_bytes=1_000)

        assert caught.value.cap == 1_000

    def test_caps_before_copying(self):
        """A hundred megabytes are refused by their length."""
        with pytest.raises(TooLargeError):
            freeze(bytes(100 * 1024 * 1024), max_bytes=MAX_BYTES)

    @pytest.mark.parametrize("frozen", [b"", b"\xc1", b"\x92\x01", freeze("x")[:-1]])
    def test_thaw_rejects_damage(self, frozen):
        """Damaged bytes raise an error of ours that keeps them."""
        with pytest.raises(CorruptFrameError) as caught:
            thaw(frozen)

        assert caught.value.frame == frozen

    @pytest.mark.parametrize("value", [Colour.RED, Point(1, 2), Packed(1), Slotted(name="a"), dict, {1}], ids=repr)
    def test_what_lies_at_two_places_is_one(self, value):
        """Members of an enum too, which are made by their value."""
        first, (second,) = thaw(freeze([value, [value]]))

        assert first is second
        assert first == value

    def test_a_copy_may_have_set_what_was_not_set(self):
        """As copies that `pickle` makes, and those of SQLAlchemy's rows."""
        assert vars(thaw(freeze(Lazy("a")))) == {"cache": {}, "name": "a"}

    def test_rows_of_a_table_are_copied(self):
        """Of SQLModel, alone and twice."""
        sqlmodel = pytest.importorskip("sqlmodel")
        row = sqlmodel.main.SQLModelMetaclass(
            "StoredRow",
            (sqlmodel.SQLModel,),
            {
                "__module__": __name__,
                "__annotations__": {"id": int | None, "name": str},
                "id": sqlmodel.Field(default=None, primary_key=True),
            },
            table=True,
        )
        globals()["StoredRow"] = row

        first, second = thaw(freeze([row(id=1, name="a"), row(name="b")]))

        assert (first.id, first.name, second.id, second.name) == (1, "a", None, "b")

    def test_an_exception_is_copied_without_its_constructor(self):
        """Which may want other arguments than `args` holds."""
        raised, by_system = thaw(freeze(Raised("a", code=4))), thaw(freeze(RaisedBySystem("f")))

        assert (str(raised), raised.code, raised.args) == ("no a", 4, ("no a",))
        assert (by_system.errno, by_system.strerror, by_system.filename) == (2, "nothing there", "f")


class TestEnvelope:
    def test_round_trip(self):
        """An envelope comes back equal."""
        assert decode_envelope(encode_envelope(envelope())) == envelope()

    def test_a_failed_run_round_trips(self):
        """A failure travels like an outcome."""
        failed = Observation(
            query_id="q1",
            arm="incumbent",
            place="served",
            failure=Failure(kind="error", error_type="ValueError", message="no"),
            started_at=NOON,
            duration=0.1,
        )

        assert decode_envelope(encode_envelope(envelope(served=failed))).served == failed

    def test_later_fields_are_passed_over(self):
        """A writer that appends fields of the same schema can still be read."""
        parts = msgspec.msgpack.decode(encode_envelope(envelope())[3:])
        frame = b"SE" + bytes([SCHEMA]) + msgspec.msgpack.encode([*parts, "a later field"])

        assert decode_envelope(frame) == envelope()

    def test_earlier_frames_are_read(self):
        """A frame without the fields that have defaults, as an earlier writer would have written it, is read."""
        parts = msgspec.msgpack.decode(encode_envelope(envelope())[3:])
        parts[2] = parts[2][:8]

        assert decode_envelope(b"SE\x01" + msgspec.msgpack.encode(parts)).served.duration == 0.25

    def test_a_later_schema_is_told_apart_from_damage(self):
        """A frame of a later schema says to upgrade, and is no corrupt frame."""
        frame = b"SE" + bytes([SCHEMA + 1]) + b"anything"

        with pytest.raises(NewerSchemaError, match="Upgrade"):
            decode_envelope(frame)

    @given(st.integers(0, len(encode_envelope(envelope())) - 1))
    def test_truncation_is_found(self, length):
        """A frame cut anywhere is corrupt and kept whole on the error."""
        frame = encode_envelope(envelope())[:length]

        with pytest.raises(CorruptFrameError) as caught:
            decode_envelope(frame)

        assert caught.value.frame == frame

    @given(st.binary(max_size=200))
    def test_any_bytes_end_in_an_error_of_ours(self, noise):
        """No bytes whatever end in another exception."""
        with pytest.raises((CorruptFrameError, NewerSchemaError)):
            decode_envelope(b"SE\x01" + noise)


class TestCanonical:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
            ({"a": 10}, {"a": 10.0}, True),
            ({"a": 10}, {"a": "10"}, False),
            ({"a": (1, 2)}, {"a": [1, 2]}, True),
            ({"a": [1, 2]}, {"a": [2, 1]}, False),
            ({"a": {1, 2}}, {"a": {2, 1}}, True),
            ({"a": True}, {"a": 1}, False),
            ({"a": None}, {}, False),
            ({"a": {"x": 1.5}}, {"a": {"x": 1.5}}, True),
            ({"a": NOON}, {"a": NOON + dt.timedelta(0)}, True),
            ({"a": NOON}, {"a": NOON + dt.timedelta(1)}, False),
            ({"a": Point(1)}, {"a": Point(1)}, True),
            ({"a": Point(1)}, {"a": Point(2)}, False),
        ],
    )
    def test_truth_table(self, one, other, same):
        """Equal exactly when the arguments are, as JSON numbers are equal."""
        assert (canonical(one) == canonical(other)) is same

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()))
    def test_is_json(self, arguments):
        """Plain arguments read back as themselves."""
        assert json.loads(canonical(arguments)) == arguments
