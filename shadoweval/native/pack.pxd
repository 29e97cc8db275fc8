"""Bytes that grow, and plain values as msgpack in them."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

cdef enum:
    SHARED = 64

cdef struct Shared:
    # Long texts that a draft has already, and their places there; held by whoever fills it.
    int count
    PyObject *texts[SHARED]
    uint32_t places[SHARED]

cdef struct Buffer:
    char *memory
    Py_ssize_t size
    Py_ssize_t room

cdef void take_buffer(Buffer *buffer) noexcept
cdef void give_buffer(Buffer *buffer) noexcept
cdef int put_raw(Buffer *buffer, const void *source, Py_ssize_t size) except -1
cdef int put_byte(Buffer *buffer, int byte) except -1
cdef int put_bytes(Buffer *buffer, bytes value) except -1
cdef int put_binary(Buffer *buffer, const Buffer *value) except -1
cdef int put_blob(Buffer *buffer, bytes value) except -1
cdef int put_array(Buffer *buffer, Py_ssize_t length) except -1
cdef int put_float(Buffer *buffer, double value) except -1
cdef int put_text(Buffer *buffer, object value) except -1
cdef int put_plain(Buffer *buffer, object value, bint in_order) except -1
cdef int put_sharing(Buffer *buffer, object value, const Shared *shared) except -1
cdef void share(Shared *shared, object text, uint32_t place) noexcept
cdef int put_bin32(Buffer *buffer) except -1
cdef void end_bin32(Buffer *buffer, Py_ssize_t start) noexcept
cdef double seconds() noexcept
