"""Plain values as msgpack."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t
from shadoweval.native.buffer cimport Buffer

cdef enum:
    SHARED = 64

cdef struct Shared:
    # Long texts that a draft has already, and their places there; held by whoever fills it.
    int count
    PyObject *texts[SHARED]
    uint32_t places[SHARED]

cdef int put_text(Buffer *buffer, object value) except -1
cdef int put_plain(Buffer *buffer, object value, bint in_order) except -1
cdef int put_sharing(Buffer *buffer, object value, const Shared *shared, Py_ssize_t most) except -1
cdef void share(Shared *shared, object text, uint32_t place) noexcept
