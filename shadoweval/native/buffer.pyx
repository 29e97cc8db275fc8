# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Memory for bytes that grow, used again and again; and the clock."""

from libc.stdlib cimport free, realloc

__all__: list[str] = []

cdef extern from *:
    """
    #include <time.h>
    #if defined(__linux__)
    static double shadoweval_seconds(void) {
        /* What time.perf_counter() reads, in the same unit and of the same resolution. */
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)((long long)t.tv_sec * 1000000000LL + t.tv_nsec) / 1e9;
    }
    #else
    #error "Built on Linux only; elsewhere the request path runs as Python."
    #endif
    """
    double shadoweval_seconds() noexcept

cdef enum:
    KEPT = 4194304
    BUFFERS = 64

cdef Buffer[BUFFERS] _spare
cdef int _spares = 0
cdef Py_ssize_t _kept = 0


cdef double seconds() noexcept:
    return shadoweval_seconds()


cdef void take_buffer(Buffer *buffer) noexcept:
    """A buffer with nothing in it, perhaps with memory from before."""
    global _spares, _kept
    if _spares > 0:
        _spares -= 1
        buffer[0] = _spare[_spares]
        _kept -= buffer.room
    else:
        buffer.memory, buffer.room = NULL, 0
    buffer.size = 0


cdef void give_buffer(Buffer *buffer) noexcept:
    """Its memory is kept for the next one, within a cap of all that is kept."""
    global _spares, _kept
    if buffer.memory != NULL:
        if _spares < BUFFERS and _kept + buffer.room <= KEPT:
            _spare[_spares] = buffer[0]
            _spares += 1
            _kept += buffer.room
        else:
            free(buffer.memory)
        buffer.memory = NULL
    buffer.size = buffer.room = 0


cdef int grow(Buffer *buffer, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = buffer.room * 2 if buffer.room else 1024
    cdef char *memory
    while room < buffer.size + more:
        room *= 2
    memory = <char *>realloc(buffer.memory, room)
    if memory == NULL:
        raise MemoryError
    buffer.memory, buffer.room = memory, room
    return 0
