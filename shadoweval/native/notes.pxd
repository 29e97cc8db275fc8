"""What one run does, packed while it runs."""

from shadoweval.native.pack cimport Buffer, Shared

cdef class Notes:
    cdef Buffer packed_log
    cdef Buffer packed_hits
    cdef Shared shared
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t lists
    cdef public double began
    cdef public Py_ssize_t left
    cdef public Py_ssize_t max_items
    cdef public bint truncated
    cdef public bint closed
    cdef public object fault
    cdef public object first_chunk
    cdef public object numbers
    cdef public object tap
    cdef public object streams

    cdef bint full(self) noexcept
    cdef int note(self, bytes row) except -1
    cdef void forget_hits(self) noexcept

cdef object in_context(object variable)
cdef Notes new_notes(type kind, Py_ssize_t max_bytes)
cdef int rest() except -1
