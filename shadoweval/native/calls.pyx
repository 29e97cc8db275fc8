# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A mirrored function's or coroutine's call, from its decision to its draft: the fast half of `mirror.call`.

`Gate` is made once a function, `Quick` once a call. A call that raises, is left alone to compare with, or holds something
that is no plain data is taken over by `mirror.call.Call`, in the state that it is in.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.string cimport memcpy
from shadoweval.native.buffer cimport Buffer, give_buffer, seconds, take_buffer
from shadoweval.native.buffer cimport put_array, put_blob, put_byte, put_bytes, put_float
from shadoweval.native.notes cimport Notes, in_context, new_notes, rest
from shadoweval.native.pack cimport put_plain, put_sharing, put_text, share
from shadoweval.native.ring cimport Part, Pen

__all__ = ["Gate", "Quick", "connect"]

cdef extern from "Python.h":
    object PyContextVar_Set(object variable, object value)
    int PyContextVar_Reset(object variable, object token) except -1

cdef enum:
    ANSWERED = 4
    FIELDS = 20
    FRAME = 4
    PARTS = 5
    FULL = 0
    DONE = 1
    NIL = 0xC0
    FALSE = 0xC2
    TOO_MUCH = 2
    TRUE = 0xC3

cdef uint32_t ANSWER = 0xFFFFFFFF

cdef str TRACES = "opentelemetry.trace"
cdef str LANGCHAIN = "langchain_core.runnables.base"  # without it there is nothing to watch


cdef class Ties:
    """What the Python half gave; see `connect`."""

    cdef object current, alone, installed, hook, watch, draw, ids, time, modules
    cdef type recorder
    cdef object encode, encode_value, answer_text, call_inputs, chosen, asked, attribute_data
    cdef object decided, left_alone, resumed, carry_on, bin_name, traced, uncarried

cdef Ties _ties = Ties()
_ties.modules = sys.modules


def connect(*, current, alone, installed, hook, watch, draw, ids, recorder, time, encode, encode_value, answer_text,
            call_inputs, chosen, asked, attribute_data, decided, left_alone, resumed, carry_on, bin_name, traced, uncarried):
    """The Python half of what is done here."""
    t = _ties
    t.current, t.alone, t.installed, t.hook, t.watch, t.draw, t.ids = current, alone, installed, hook, watch, draw, ids
    t.recorder, t.time, t.encode, t.encode_value, t.answer_text = recorder, time, encode, encode_value, answer_text
    t.call_inputs, t.chosen, t.asked, t.attribute_data, t.decided = call_inputs, chosen, asked, attribute_data, decided
    t.left_alone, t.resumed, t.carry_on = left_alone, resumed, carry_on
    t.bin_name, t.traced, t.uncarried = bin_name, traced, uncarried


cdef class Gate:
    """Where the calls of a decorated function begin; what is the same for all of them."""

    cdef readonly object site
    cdef object lane, clock, text, inputs, observe, charge
    cdef bytes raw, tail
    cdef double sample, control
    cdef Py_ssize_t skip, max_bytes
    cdef bint off, by_chance, asks, plain, drafts, ready
    cdef object tally, pens

    def __init__(self, site):
        plan = site.plan
        self.site, self.lane, self.skip = site, site.lane, site.skip
        self.sample, self.control, self.max_bytes = plan.sample, plan.control, plan.max_bytes
        self.off, self.by_chance, self.asks = site.off, site.by_chance, site.asks
        self.text, self.inputs, self.observe, self.charge = plan.text, plan.inputs, plan.observe, plan.charge
        self.clock = None if site.clock is _ties.time else site.clock
        self.plain = plan.outcome is None and plan.redact is None
        self.raw = bytes(site.raw)
        self.tail = _ties.encode(plan.max_bytes)

    cdef int open(self) except -1:
        """What the lane has does not change once it is open."""
        lane = self.lane
        if not lane.opened:
            lane.open()
        self.ready = lane.opened
        self.tally, self.pens, self.drafts = lane.tally, lane.pens, lane.drafts
        return 0

    def begin(self, tuple args, dict kwargs):
        """Decide and copy; None: the call is not mirrored, and why is counted. See `mirror.site.Site.begin`."""
        cdef Quick call
        if _ties.installed.interceptor is not None:
            return None
        if not self.ready:
            self.open()
        if self.off:
            rest()
            self.tally.count("off")
            return None
        recorder, control = in_context(_ties.current), in_context(_ties.alone)
        if (recorder is not None and not (<Notes>recorder).closed) or (control is not None and not control.done):
            self.tally.count("nested")
            return None
        if self.by_chance and <double>_ties.draw() >= self.sample:
            rest()
            self.tally.count("not_sampled")
            return None
        call = Quick.__new__(Quick)
        call.began = seconds()
        call.gate, call.tally, call.point = self, self.tally, "decide"
        try:
            return call.begun(args[self.skip:] if self.skip else args, kwargs)
        except BaseException as error:
            if not _ties.resumed(call).caught(error):
                raise
        return None


@cython.no_gc  # nothing that it holds can know it
@cython.freelist(16)
cdef class Quick:
    """One call. The attributes are those of `mirror.call.Call`."""

    cdef Gate gate
    cdef readonly object tally, token, unit, bucket, attributes, text, inputs, started_at, number
    cdef readonly str point
    cdef readonly Notes recorder
    cdef readonly double began
    cdef readonly bint timed, over

    @property
    def site(self):
        """The decorated function."""
        return self.gate.site

    cdef int lost(self, str reason) except -1:
        if not self.over:
            self.tally.count(reason)
            self.over = True
        return 0

    cdef object begun(self, tuple args, dict kwargs):
        cdef Gate gate = self.gate
        cdef double drawn
        attributes = None
        self.number = _ties.ids.next()
        if gate.asks:
            told = _ties.decided(gate.site, self.number, args, kwargs)
            if type(told) is str:
                rest()
                self.lost(told)
                return None
            self.unit, self.bucket, attributes = told
        else:
            self.unit, self.bucket = "", <double>_ties.draw() * gate.sample
        drawn = _ties.draw()
        self.timed = drawn < 2.0 * gate.control
        if drawn < gate.control:
            return _ties.left_alone(self)
        self.point = "snapshot"
        if TRACES in _ties.modules:
            attributes = _ties.traced(attributes or {})
        self.attributes = _ties.attribute_data(attributes, max_bytes=gate.max_bytes) if attributes else None
        if gate.inputs is not None:
            args, kwargs = _ties.chosen(gate.inputs(*args, **kwargs))
        only = args[0] if gate.text is None and len(args) == 1 and not kwargs else None
        if type(only) is str and len(<str>only) <= gate.max_bytes:
            self.text, self.inputs = only, (args, kwargs)
        else:
            self.inputs = _ties.call_inputs(args, kwargs, max_bytes=gate.max_bytes)
            self.text = _ties.asked(args, kwargs) if gate.text is None else str(gate.text(*args, **kwargs))
        self.started_at = _ties.time() if gate.clock is None else gate.clock()
        if not _ties.hook.registered and LANGCHAIN in _ties.modules:
            _ties.watch()
        self.recorder = new_notes(_ties.recorder, gate.max_bytes)
        return self

    def enter(self):
        """The incumbent runs from here on, in this context."""
        self.token = PyContextVar_Set(_ties.current, self.recorder)

    cdef int leave(self) except -1:
        token, self.token = self.token, None
        try:
            PyContextVar_Reset(_ties.current, token)
        except ValueError:  # whoever drives the coroutine changed contexts in the middle, see `Call.leave`
            pass
        return 0

    def raised(self, error):
        """The incumbent raised or was cancelled."""
        _ties.resumed(self).raised(error)

    def returned(self, value):
        """The incumbent returned: hand over what it did."""
        cdef double ended
        cdef Gate gate = self.gate
        ended = seconds()
        self.leave()
        self.recorder.closed = True
        if self.recorder.streams is not None:
            self.recorder.close()
        self.point = "outcome"
        try:
            if gate.observe is not None:
                gate.observe(seconds() - self.began, failed=False, mirrored=True)
            if not (gate.plain and self.recorder.fault is None and self.handed(value, ended)):
                _ties.carry_on(self, value, ended)
            if self.timed:
                self.tally.mirrored.add(_ties.bin_name(seconds() - self.began))
        except BaseException as error:
            if not _ties.resumed(self).caught(error):
                raise

    cdef bint handed(self, value, double ended) except -1:
        """0: Python must do it. The draft is in the order of `capture.drafts`."""
        cdef Buffer buffer
        cdef Part[PARTS] parts
        cdef Notes notes = self.recorder
        cdef Py_ssize_t total, log, hits
        if not self.gate.drafts:
            return False
        take_buffer(&buffer)
        try:
            if not self.written(&buffer, value, ended):
                return False
            put_float(&buffer, notes.began)
            put_array(&buffer, notes.size)
            log = buffer.size
            put_array(&buffer, notes.lists)
            hits = buffer.size
            put_plain(&buffer, notes.max_items, False)
            put_byte(&buffer, TRUE if notes.truncated else FALSE)
            put_bytes(&buffer, self.gate.tail)
            parts[0].at, parts[0].size = buffer.memory, log
            parts[1].at, parts[1].size = notes.packed_log.memory, notes.packed_log.size
            parts[2].at, parts[2].size = buffer.memory + log, hits - log
            parts[3].at, parts[3].size = notes.packed_hits.memory, notes.packed_hits.size
            parts[4].at, parts[4].size = buffer.memory + hits, buffer.size - hits
            total = buffer.size + parts[1].size + parts[3].size
            if total > FRAME * self.gate.max_bytes:
                self.lost("too_large")
                return True
            self.point = "offer"
            self.offered(parts, total)
        finally:
            give_buffer(&buffer)
        return True

    cdef bint written(self, Buffer *buffer, value, double ended) except -1:
        """The draft up to its failure."""
        put_array(buffer, FIELDS)
        put_blob(buffer, b"SEd1")
        put_bytes(buffer, self.gate.raw)
        if not (put_text(buffer, _ties.ids.prefix) and put_plain(buffer, self.number, False)):
            return False
        if type(self.unit) is not str or not put_text(buffer, self.unit):
            return False
        if type(self.text) is not str or not (put_text(buffer, self.text) and self.copied(buffer)):
            return False
        if self.attributes is None:
            put_byte(buffer, 0x80)
        else:
            put_bytes(buffer, bytes(self.attributes))
        if type(self.started_at) is float:
            put_float(buffer, self.started_at)
        else:
            put_bytes(buffer, _ties.encode(self.started_at))
        if not put_plain(buffer, self.bucket, False):
            return False
        put_float(buffer, ended - self.recorder.began)
        if not put_plain(buffer, self.recorder.first_chunk, False):
            return False
        if not self.answered(buffer, value):
            return False
        put_byte(buffer, NIL)
        return True

    cdef bint copied(self, Buffer *buffer) except -1:
        """The input: bytes, or arguments that nobody can change."""
        inputs = self.inputs
        if type(inputs) is bytes:
            put_blob(buffer, inputs)
            return True
        put_array(buffer, 2)
        put_array(buffer, len(<tuple>inputs[0]))
        for argument in <tuple>inputs[0]:
            if not put_plain(buffer, argument, False):
                return False
        return put_plain(buffer, inputs[1], False)

    cdef bint answered(self, Buffer *buffer, value) except -1:
        """Answer, value, number of chunks, and whether something was cut."""
        cdef int packed = 1
        put_array(buffer, ANSWERED)
        if type(value) is str:
            if not put_text(buffer, value):
                return False
            put_byte(buffer, NIL)
        else:
            answer = (<dict>value).get("answer") if type(value) is dict else None
            if type(answer) is not str:
                answer = _ties.answer_text(value)
            if answer is None:
                put_byte(buffer, NIL)
            elif type(answer) is not str or not put_text(buffer, answer):
                return False
            else:
                share(&self.recorder.shared, answer, ANSWER)
            packed = put_sharing(buffer, value, &self.recorder.shared, self.gate.max_bytes)
            if packed == TOO_MUCH:
                put_byte(buffer, NIL)
            elif not packed:
                try:
                    put_bytes(buffer, _ties.encode_value(value))
                except _ties.uncarried:
                    return False
        put_byte(buffer, NIL)
        put_byte(buffer, TRUE if packed == TOO_MUCH else FALSE)
        return True

    cdef int offered(self, const Part *parts, Py_ssize_t total) except -1:
        """Hand the draft over, into the ring where that may be done without asking."""
        cdef int told = -1
        cdef Gate gate = self.gate
        pen = gate.pens.pen
        if pen is not None:
            told = (<Pen>pen).hand_over(parts, PARTS)
        if told == DONE:
            reason = None
        elif told == FULL:
            reason = "full"
        else:
            reason = gate.lane.offer(_joined(parts, total))
        self.lost("mirrored" if reason is None else reason)
        if reason is None and gate.charge is not None:
            gate.charge()
        return 0


cdef bytes _joined(const Part *parts, Py_ssize_t total):
    cdef int i
    frame = PyBytes_FromStringAndSize(NULL, total)
    cdef char *to = PyBytes_AS_STRING(frame)
    for i in range(PARTS):
        memcpy(to, parts[i].at, parts[i].size)
        to += parts[i].size
    return frame
