# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Writing into shared memory: the fast half of `transport.ring` and of `counters`.

No Python code runs between the first byte of a frame and its publication, so neither another thread nor a signal's
handler can come in between: the interpreter's own lock is the lock.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

__all__ = ["Pen", "Slots"]

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    #define shadoweval_publish(place, number) __atomic_store_n((place), (number), __ATOMIC_RELEASE)
    #define shadoweval_seen(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
    """
    int madvise(void *memory, size_t size, int advice) noexcept
    void shadoweval_publish(uint64_t *place, uint64_t number) noexcept
    uint64_t shadoweval_seen(uint64_t *place) noexcept
    int MADV_POPULATE_WRITE

cdef enum:
    HEAD = 4096
    WRITE = 0
    READ = 1
    SLACK = 64
    EVERY = 64
    FULL = 0
    DONE = 1
    ASK = 2

cdef uint64_t SKIP = 0xFFFFFFFFFFFFFFFF


@cython.no_gc  # nothing that it holds can know it
cdef class Pen:
    """The writing end of a ring (see `transport.ring.Ring` for the layout).

    Attributes:
        count: Frames since the transport looked after its collector.
    """

    def __cinit__(self, memory):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.held = True
        self.head = <uint64_t *>self.view.buf
        self.room = <char *>self.view.buf + HEAD
        self.size = <uint64_t>(self.view.len - HEAD)
        self.written, self.read = self.head[WRITE], self.head[READ]

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    def release(self):
        """Let go of the memory."""
        self.lives = False
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    @property
    def live(self):
        """Whether frames may go into the ring without asking anybody."""
        return self.lives

    @live.setter
    def live(self, bint lives):
        if lives and not self.lives and self.held:
            # The reader has had every page provided by now; enter them here as well, once, not one by one at the frames.
            # Kernels before 5.14 refuse, and each page costs its first frame half a microsecond.
            madvise(self.view.buf, self.view.len, MADV_POPULATE_WRITE)
        self.lives = lives

    def put(self, bytes frame):
        """Copy a frame in and publish it. False: there is no room for it now."""
        cdef Part part
        part.at, part.size = PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)
        if not self.held:
            raise ValueError("The ring is closed.")
        return self.put_parts(&part, 1)

    cdef bint put_parts(self, const Part *parts, int count) noexcept:
        cdef uint64_t length = 0, need, at, skip, left
        cdef char *to
        cdef int i
        for i in range(count):
            length += <uint64_t>parts[i].size
        need = (length + 15) & ~<uint64_t>7
        at = self.written % self.size
        left = self.size - at
        skip = 0 if need + 8 <= left else left
        if self.written + skip + need - self.read > self.size - SLACK:
            self.read = shadoweval_seen(&self.head[READ])
            if self.written + skip + need - self.read > self.size - SLACK:
                return False
        if skip:
            memcpy(self.room + at, &SKIP, 8)
            at = 0
        to = self.room + at
        memcpy(to, &length, 8)
        to += 8
        for i in range(count):
            memcpy(to, parts[i].at, parts[i].size)
            to += parts[i].size
        self.written += skip + need
        shadoweval_publish(&self.head[WRITE], self.written)
        return True

    cdef int hand_over(self, const Part *parts, int count) noexcept:
        """DONE or FULL; or ASK: the transport must look after its collector, or take another way."""
        cdef uint64_t length = 0
        cdef int i
        for i in range(count):
            length += <uint64_t>parts[i].size
        self.count += 1
        if not self.lives or not self.held or self.count >= EVERY or length >= self.size >> 2:
            return ASK
        return DONE if self.put_parts(parts, count) else FULL


@cython.no_gc  # nothing that it holds can know it
cdef class Slots:
    """Counters in memory that others may read meanwhile (see `counters.Counters`)."""

    def __cinit__(self, memory, Py_ssize_t offset, dict index, Py_ssize_t eligible):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.held = True
        self.numbers = <uint64_t *>(<char *>self.view.buf + offset)
        self.index, self.eligible = index, eligible

    def __dealloc__(self):
        self.release()

    def release(self):
        """Let go of the memory."""
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    def add(self, name, count=1):
        """Add to a counter; KeyError for an unknown name."""
        cdef Py_ssize_t at = self.index[name]
        cdef uint64_t more = count
        if not self.held:
            raise ValueError("The counters are closed.")
        self.numbers[at] += more

    def add_call(self, reason):
        """One eligible call, and what became of it, at once."""
        cdef Py_ssize_t at = self.index[reason]
        if not self.held:
            raise ValueError("The counters are closed.")
        self.numbers[at] += 1
        self.numbers[self.eligible] += 1
