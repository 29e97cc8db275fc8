# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""Tool calls, steps and hits of one run, packed when they end: the fast half of `capture.recorder` and `capture.entries`.

Whatever is not of the commonest kind is left to their Python: `Recorder.kept`, `argument_data`, `hit_rows`.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from shadoweval.native.pack cimport (
    Buffer,
    end_bin32,
    give_buffer,
    put_array,
    put_bin32,
    put_binary,
    put_byte,
    put_bytes,
    put_float,
    put_plain,
    put_text,
    seconds,
    share,
    take_buffer,
)

__all__ = ["Entry", "Lists", "Log", "Notes", "Step", "Tool", "connect"]

cdef extern from "Python.h":
    int PyContextVar_Get(object variable, PyObject *default, PyObject **value) except -1
    void Py_XDECREF(PyObject *value) noexcept
    void Py_DECREF(PyObject *value) noexcept
    ctypedef struct PyTypeObject:
        object (*tp_new)(type, tuple, PyObject *)

cdef enum:
    TEXT = 65536
    ARGUMENTS = 1048576

cdef object _current = None
cdef object _encode = None
cdef object _decode = None
cdef object _raw = None
cdef object _argument_data = None
cdef object _writable = None


def connect(*, current, encode, decode, raw, argument_data, writable):
    """The context variable of the recorder, and what writes and reads that which is not packed here."""
    global _current, _encode, _decode, _raw, _argument_data, _writable
    _current, _encode, _decode, _raw = current, encode, decode, raw
    _argument_data, _writable = argument_data, writable


cdef object in_context(object variable):
    """The variable's value in this context, or its default."""
    cdef PyObject *found = NULL
    PyContextVar_Get(variable, NULL, &found)
    if found == NULL:
        return None
    value = <object>found
    Py_XDECREF(found)
    return value


cdef Notes new_notes(type kind, Py_ssize_t max_bytes):
    """A new `Recorder`, as calling it would give; its class has no `__init__` of its own."""
    cdef Notes notes = (<PyTypeObject *>kind).tp_new(kind, (), NULL)
    notes.left = max_bytes
    return notes


cdef class Notes:
    """What `Recorder` writes into; see there for the arguments."""

    def __cinit__(self, *args, **kwargs):
        take_buffer(&self.packed_log)
        take_buffer(&self.packed_hits)
        self.left, self.max_items = 1048576, 1000
        self.began = seconds()

    def __init__(self, Py_ssize_t max_bytes=1048576, Py_ssize_t max_items=1000):
        self.left, self.max_items = max_bytes, max_items

    def __dealloc__(self):
        self.forget_hits()
        give_buffer(&self.packed_log)
        give_buffer(&self.packed_hits)

    cdef bint full(self) noexcept:
        """Whether there is no room for another entry."""
        if self.size >= self.max_items:
            self.truncated = True
            return True
        return False

    cdef void forget_hits(self) noexcept:
        cdef int i
        for i in range(self.shared.count):
            Py_DECREF(self.shared.texts[i])
        self.shared.count = self.lists = 0
        self.packed_hits.size = 0

    cdef int note(self, bytes row) except -1:
        put_bytes(&self.packed_log, row)
        self.size += 1
        return 0

    @property
    def log(self):
        """The entries (see `capture.rows`)."""
        return Log(self)

    @property
    def hits(self):
        """The lists of hits."""
        return Lists(self)

    def drafted(self):
        """Entries and lists of hits, for the encoder."""
        return _raw(_whole(&self.packed_log, self.size)), _raw(_whole(&self.packed_hits, self.lists))

    def tidy(self):
        """What is packed could be encoded."""


cdef bytes _whole(Buffer *rows, Py_ssize_t count):
    cdef Buffer buffer
    take_buffer(&buffer)
    try:
        put_array(&buffer, count)
        head = PyBytes_FromStringAndSize(buffer.memory, buffer.size)
    finally:
        give_buffer(&buffer)
    return head + (PyBytes_FromStringAndSize(rows.memory, rows.size) if rows.size else b"")


cdef class _View:
    """Packed rows as a sequence; a row is read when it is asked for."""

    cdef Notes notes

    def __init__(self, Notes notes):
        self.notes = notes

    def __iter__(self):
        return iter(self.rows())

    def __getitem__(self, at):
        return self.rows()[at]

    def __eq__(self, other):
        return self.rows() == other


cdef class Log(_View):
    """The entries."""

    def __len__(self):
        return self.notes.size

    def rows(self):
        """All of them."""
        return _decode(_whole(&self.notes.packed_log, self.notes.size))

    def append(self, row):
        """One more."""
        self.notes.note(_encode(row))


cdef class Lists(_View):
    """The lists of hits."""

    def __len__(self):
        return self.notes.lists

    def rows(self):
        """All of them."""
        return _decode(_whole(&self.notes.packed_hits, self.notes.lists))

    def append(self, rows):
        """One more."""
        try:
            packed = _encode(rows)
        except UnicodeError:
            packed = _encode(_writable(rows))
        put_bytes(&self.notes.packed_hits, packed)
        self.notes.lists += 1

    def clear(self):
        """Forget all of them."""
        self.notes.forget_hits()


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
