"""Writing into shared memory: frames into a ring, counts into slots."""

from libc.stdint cimport uint64_t

cdef struct Part:
    const char *at
    Py_ssize_t size

cdef class Pen:
    cdef Py_buffer view
    cdef uint64_t *head
    cdef char *room
    cdef uint64_t size
    cdef uint64_t written
    cdef uint64_t read
    cdef bint held
    cdef bint lives
    cdef public int count

    cdef bint put_parts(self, const Part *parts, int count) noexcept
    cdef int hand_over(self, const Part *parts, int count) noexcept

cdef class Slots:
    cdef Py_buffer view
    cdef uint64_t *numbers
    cdef dict index
    cdef Py_ssize_t eligible
    cdef bint held
