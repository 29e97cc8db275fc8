# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Decorated tools and steps, whose calls are packed when they end: the fast half of `capture.entries`.

Whatever is not of the commonest kind is left to Python: `Recorder.kept`, `argument_data`, `hit_rows`.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t
from shadoweval.native.buffer cimport (
    Buffer,
    end_bin32,
    give_buffer,
    put_array,
    put_bin32,
    put_binary,
    put_byte,
    put_bytes,
    put_float,
    seconds,
    take_buffer,
)
from shadoweval.native.notes cimport Notes, in_context
from shadoweval.native.pack cimport put_plain, put_text, share

__all__ = ["Entry", "Step", "Tool", "connect"]

cdef extern from "Python.h":
    void Py_DECREF(PyObject *value) noexcept

cdef enum:
    TEXT = 65536
    ARGUMENTS = 1048576

cdef object _current = None
cdef object _encode = None
cdef object _argument_data = None


def connect(*, current, encode, argument_data):
    """The context variable of the recorder, and what is not done here."""
    global _current, _encode, _argument_data
    _current, _encode, _argument_data = current, encode, argument_data


cdef class Site:
    """A decorated function: what is the same for all of its calls."""

    cdef int end(self, Entry entry, object result) except -1:
        return 0

    cdef object failed(self, Entry entry, object error):
        return None


@cython.no_gc  # nothing that it holds can know it
@cython.freelist(32)
cdef class Entry:
    """One call of a decorated function, from its arguments to its entry. Faults of ours stay on the recorder."""

    cdef readonly Notes recorder
    cdef Site site
    cdef Buffer packed
    cdef readonly double started

    def __cinit__(self):
        take_buffer(&self.packed)

    def __dealloc__(self):
        give_buffer(&self.packed)

    @property
    def arguments(self):
        """The arguments by name, packed."""
        return PyBytes_FromStringAndSize(self.packed.memory, self.packed.size)

    def ended(self, result):
        """It returned."""
        try:
            self.site.end(self, result)
        except Exception as fault:
            self.recorder.fault = fault

    def failed(self, error):
        """It raised."""
        try:
            self.site.failed(self, error)
        except Exception as fault:
            self.recorder.fault = fault


cdef class Tool(Site):
    """A tool; see `capture.entries.Tool`."""

    cdef object name, effect, bind
    cdef bytes head
    cdef tuple places, keys

    def __init__(self, name, effect, bind, names):
        self.name, self.effect, self.bind = name, effect, bind
        self.head = b"\x97" + _encode("call") + _encode(name) + _encode(effect)
        if names is not None:
            order = sorted(range(len(names)), key=names.__getitem__)
            self.places = tuple(order)
            self.keys = tuple(_encode(names[i]) for i in order)

    def begin(self, tuple args, dict kwargs):
        """Copy the arguments; None outside a recording."""
        recorder = in_context(_current)
        if recorder is None:
            return None
        cdef Entry entry = Entry.__new__(Entry)
        entry.recorder, entry.site = recorder, self
        try:
            self.pack(&entry.packed, args, kwargs)
        except Exception as fault:
            entry.packed.size = 0
            put_byte(&entry.packed, 0x80)
            if not isinstance(fault, TypeError):  # they don't fit the tool, which is about to say so itself
                entry.recorder.fault = fault
        entry.started = seconds()
        return entry

    cdef int pack(self, Buffer *buffer, tuple args, dict kwargs) except -1:
        cdef Py_ssize_t i
        if self.places is not None and not kwargs and len(args) == len(self.places):
            put_byte(buffer, 0x80 | <int>len(args))
            for i in range(len(args)):
                put_bytes(buffer, <bytes>self.keys[i])
                if not put_plain(buffer, args[<Py_ssize_t>self.places[i]], True):
                    break
            else:
                if buffer.size <= ARGUMENTS:
                    return 0
            buffer.size = 0
        return put_bytes(buffer, _argument_data(self.bind(*args, **kwargs)))

    cdef int end(self, Entry entry, object result) except -1:
        cdef double ended = seconds()
        cdef Notes notes = entry.recorder
        cdef Buffer *log = &notes.packed_log
        cdef Py_ssize_t before = log.size, start, size
        if notes.full():
            return 0
        try:
            put_bytes(log, self.head)
            put_binary(log, &entry.packed)
            start = log.size
            put_bin32(log)
            size = log.size
            if put_plain(log, result, False) and log.size - size <= notes.left:
                end_bin32(log, start)
                notes.left -= log.size - size
                put_float(log, entry.started)
                put_float(log, ended)
                notes.size += 1
                return 0
        except BaseException:
            log.size = before
            raise
        log.size = before
        raw = notes.kept(result)
        if raw is not None:
            notes.note(_encode(("call", self.name, self.effect, entry.arguments, raw, entry.started, ended)))
        return 0

    cdef object failed(self, Entry entry, object error):
        return entry.recorder.add_failed_call(self.name, self.effect, entry.arguments, entry.started, error)


cdef class Step(Site):
    """A step; see `capture.entries.Step`."""

    cdef object kind, name, after
    cdef bytes head
    cdef bint hits, replace

    def __init__(self, kind, name, after, hits, replace):
        self.kind, self.name, self.after = kind, name, after
        self.hits, self.replace = hits, replace
        self.head = b"\x94" + _encode(kind) + _encode(name)

    def begin(self, args, kwargs):
        """None outside a recording."""
        recorder = in_context(_current)
        if recorder is None:
            return None
        cdef Entry entry = Entry.__new__(Entry)
        entry.recorder, entry.site = recorder, self
        entry.started = seconds()
        return entry

    cdef int end(self, Entry entry, object result) except -1:
        cdef double ended = seconds()
        cdef Notes notes = entry.recorder
        cdef Buffer *log = &notes.packed_log
        cdef Py_ssize_t before
        if self.after is not None and not (self.hits and self.noted_hits(notes, result)):
            self.after(notes, result)
        if notes.full():
            return 0
        before = log.size
        try:
            put_bytes(log, self.head)
            put_float(log, entry.started)
            put_float(log, ended)
        except BaseException:
            log.size = before
            raise
        notes.size += 1
        return 0

    cdef bint noted_hits(self, Notes notes, object found) except -1:
        """Id, score and text of the commonest documents, mappings with all three; 0: Python must have a look."""
        cdef Buffer *hits = &notes.packed_hits
        cdef Py_ssize_t before, rank = 0
        cdef int shared
        if type(found) is not list or len(<list>found) > notes.max_items:
            return False
        if self.replace:
            notes.forget_hits()
        before, shared = hits.size, notes.shared.count
        try:
            put_array(hits, len(<list>found))
            for document in <list>found:
                if type(document) is not dict or not _put_hit(notes, <dict>document, <uint32_t>(notes.lists << 16 | rank)):
                    break
                rank += 1
            else:
                notes.lists += 1
                return True
        except BaseException:
            hits.size = before
            raise
        hits.size = before
        while notes.shared.count > shared:
            notes.shared.count -= 1
            Py_DECREF(notes.shared.texts[notes.shared.count])
        return False
    cdef object failed(self, Entry entry, object error):
        return entry.recorder.add_failed_step(self.kind, self.name, entry.started, error)


cdef bint _put_hit(Notes notes, dict document, uint32_t place) except -1:
    cdef Buffer *hits = &notes.packed_hits
    key, score, text = document.get("id"), document.get("score"), document.get("text")
    if type(key) is not str or type(score) is not float or type(text) is not str or len(<str>text) > TEXT:
        return False
    put_byte(hits, 0x93)
    if not put_text(hits, key):
        return False
    put_float(hits, score)
    if not put_text(hits, text):
        return False
    share(&notes.shared, text, place)
    return True
