# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What one run did, packed: the fast half of `capture.notes`."""

from cpython.object cimport PyObject
from cpython.bytes cimport PyBytes_FromStringAndSize
from shadoweval.native.buffer cimport Buffer, give_buffer, put_array, put_bytes, seconds, take_buffer

__all__ = ["Lists", "Log", "Notes", "connect"]

cdef extern from "Python.h":
    int PyContextVar_Get(object variable, PyObject *default, PyObject **value) except -1
    void Py_XDECREF(PyObject *value) noexcept
    void Py_DECREF(PyObject *value) noexcept
    ctypedef struct PyTypeObject:
        object (*tp_new)(type, tuple, PyObject *)

cdef object _encode = None
cdef object _decode = None
cdef object _raw = None
cdef object _writable = None
cdef object _installed = None
cdef Py_ssize_t _living = 0
cdef bint _watched = True  # as `installed` has it, but for an interceptor


def connect(*, encode, decode, raw, writable, installed):
    """What writes and reads that which is not packed here, and where it is said that nobody watches."""
    global _encode, _decode, _raw, _writable, _installed
    _encode, _decode, _raw, _writable, _installed = encode, decode, raw, writable, installed


cdef int rest() except -1:
    """A call that is not mirrored looks whether any other is; if none, steps need not look for themselves."""
    global _watched
    if _watched and _living == 0 and _installed.interceptor is None:
        _watched = _installed.watched = False
    return 0


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
        global _living, _watched
        _living += 1
        if not _watched:
            _watched = _installed.watched = True
        take_buffer(&self.packed_log)
        take_buffer(&self.packed_hits)
        self.left, self.max_items = 1048576, 1000
        self.began = seconds()

    def __init__(self, Py_ssize_t max_bytes=1048576, Py_ssize_t max_items=1000):
        self.left, self.max_items = max_bytes, max_items

    def __dealloc__(self):
        global _living
        _living -= 1
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
