# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Bytes that grow, and plain values as msgpack in them: the walk of `capture.copying.carried` and msgspec's encoder in one.

No Python code runs while a value is packed, so nobody changes it meanwhile.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

__all__ = ["packed"]

cdef extern from "Python.h":
    # With plain pointers: what is packed is held by who gave it, so nothing need be counted on the way.
    int PyUnicode_CheckExact(PyObject *value) noexcept
    int PyDict_CheckExact(PyObject *value) noexcept
    int PyList_CheckExact(PyObject *value) noexcept
    int PyLong_CheckExact(PyObject *value) noexcept
    int PyFloat_CheckExact(PyObject *value) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text) noexcept
    int PyUnicode_IS_COMPACT_ASCII(PyObject *text) noexcept
    void *PyUnicode_DATA(PyObject *text) noexcept
    const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size) noexcept
    Py_ssize_t PyList_GET_SIZE(PyObject *value) noexcept
    PyObject *PyList_GET_ITEM(PyObject *value, Py_ssize_t at) noexcept
    Py_ssize_t PyDict_Size(PyObject *value) noexcept
    int PyDict_Next(PyObject *value, Py_ssize_t *at, PyObject **name, PyObject **part) noexcept
    long long PyLong_AsLongLongAndOverflow(PyObject *number, int *overflow) noexcept
    unsigned long long PyLong_AsUnsignedLongLong(PyObject *number) noexcept
    PyObject *PyErr_Occurred() noexcept
    void Py_INCREF(PyObject *value) noexcept
    double PyFloat_AS_DOUBLE(PyObject *number) noexcept
    PyObject *Py_None
    PyObject *Py_True
    PyObject *Py_False

cdef extern from *:
    """
    #include <time.h>
    #include <endian.h>
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
    uint16_t htobe16(uint16_t number) noexcept
    uint32_t htobe32(uint32_t number) noexcept
    uint64_t htobe64(uint64_t number) noexcept

cdef enum:
    KEPT = 65536
    BUFFERS = 64
    ITEMS = 4096
    TEXT = 1048576
    DEPTH = 256
    SORTED = 32
    LONG = 128
    REFERENCE = 7

cdef struct How:
    bint in_order
    const Shared *shared

cdef struct Key:
    const char *text
    Py_ssize_t size
    PyObject *value

cdef Buffer[BUFFERS] _spare
cdef int _spares = 0


cdef double seconds() noexcept:
    return shadoweval_seconds()


cdef void take_buffer(Buffer *buffer) noexcept:
    """A buffer with nothing in it, perhaps with memory from before."""
    global _spares
    if _spares > 0:
        _spares -= 1
        buffer[0] = _spare[_spares]
    else:
        buffer.memory, buffer.room = NULL, 0
    buffer.size = 0


cdef void give_buffer(Buffer *buffer) noexcept:
    """Its memory is kept for the next one, unless it is large."""
    global _spares
    if buffer.memory != NULL:
        if _spares < BUFFERS and buffer.room <= KEPT:
            _spare[_spares] = buffer[0]
            _spares += 1
        else:
            free(buffer.memory)
        buffer.memory = NULL
    buffer.size = buffer.room = 0


cdef int _grow(Buffer *buffer, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = buffer.room * 2 if buffer.room else 1024
    cdef char *memory
    while room < buffer.size + more:
        room *= 2
    memory = <char *>realloc(buffer.memory, room)
    if memory == NULL:
        raise MemoryError
    buffer.memory, buffer.room = memory, room
    return 0


cdef inline int _room(Buffer *buffer, Py_ssize_t more) except -1:
    return _grow(buffer, more) if buffer.size + more > buffer.room else 0


cdef int put_raw(Buffer *buffer, const void *source, Py_ssize_t size) except -1:
    _room(buffer, size)
    memcpy(buffer.memory + buffer.size, source, size)
    buffer.size += size
    return 0


cdef int put_byte(Buffer *buffer, int byte) except -1:
    _room(buffer, 1)
    buffer.memory[buffer.size] = <char>byte
    buffer.size += 1
    return 0


cdef int put_bytes(Buffer *buffer, bytes value) except -1:
    """Bytes that are msgpack already."""
    return put_raw(buffer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef int _head8(Buffer *buffer, int code, int number) except -1:
    _room(buffer, 2)
    buffer.memory[buffer.size] = <char>code
    buffer.memory[buffer.size + 1] = <char>number
    buffer.size += 2
    return 0


cdef int _head16(Buffer *buffer, int code, uint16_t number) except -1:
    cdef uint16_t big = htobe16(number)
    _room(buffer, 3)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 2)
    buffer.size += 3
    return 0


cdef int _head32(Buffer *buffer, int code, uint32_t number) except -1:
    cdef uint32_t big = htobe32(number)
    _room(buffer, 5)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 4)
    buffer.size += 5
    return 0


cdef int _head64(Buffer *buffer, int code, uint64_t number) except -1:
    cdef uint64_t big = htobe64(number)
    _room(buffer, 9)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 8)
    buffer.size += 9
    return 0


cdef int _binary(Buffer *buffer, const void *source, Py_ssize_t size) except -1:
    if size < 0x100:
        _head8(buffer, 0xC4, <int>size)
    elif size < 0x10000:
        _head16(buffer, 0xC5, <uint16_t>size)
    else:
        _head32(buffer, 0xC6, <uint32_t>size)
    return put_raw(buffer, source, size)


cdef int put_binary(Buffer *buffer, const Buffer *value) except -1:
    """What is in another buffer, as a binary value."""
    return _binary(buffer, value.memory, value.size)


cdef int put_blob(Buffer *buffer, bytes value) except -1:
    """Bytes as a value."""
    return _binary(buffer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef int put_bin32(Buffer *buffer) except -1:
    """The head of a binary value whose size is not known yet."""
    return _head32(buffer, 0xC6, 0)


cdef void end_bin32(Buffer *buffer, Py_ssize_t start) noexcept:
    """Write the size of the binary value whose head begins at `start`."""
    cdef uint32_t big = htobe32(<uint32_t>(buffer.size - start - 5))
    memcpy(buffer.memory + start + 1, &big, 4)


cdef int put_array(Buffer *buffer, Py_ssize_t length) except -1:
    if length < 16:
        return put_byte(buffer, 0x90 | <int>length)
    if length < 0x10000:
        return _head16(buffer, 0xDC, length)
    return _head32(buffer, 0xDD, length)


cdef int _put_map(Buffer *buffer, Py_ssize_t length) except -1:
    if length < 16:
        return put_byte(buffer, 0x80 | <int>length)
    return _head16(buffer, 0xDE, length)


cdef int put_float(Buffer *buffer, double value) except -1:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return _head64(buffer, 0xCB, bits)


cdef int _put_integer(Buffer *buffer, PyObject *value) except -1:
    """0 where it has more than 64 bits."""
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t large
    if overflow:
        large = PyLong_AsUnsignedLongLong(value) if overflow > 0 else 0
        if overflow < 0 or PyErr_Occurred() != NULL:
            PyErr_Clear()
            return 0
        _head64(buffer, 0xCF, large)
    elif number >= 0:
        if number < 0x80:
            put_byte(buffer, <int>number)
        elif number < 0x100:
            _head8(buffer, 0xCC, <int>number)
        elif number < 0x10000:
            _head16(buffer, 0xCD, <uint16_t>number)
        elif number < 0x100000000:
            _head32(buffer, 0xCE, <uint32_t>number)
        else:
            _head64(buffer, 0xCF, <uint64_t>number)
    elif number >= -32:
        put_byte(buffer, <int>number)
    elif number >= -0x80:
        _head8(buffer, 0xD0, <int>number)
    elif number >= -0x8000:
        _head16(buffer, 0xD1, <uint16_t>number)
    elif number >= -0x80000000:
        _head32(buffer, 0xD2, <uint32_t>number)
    else:
        _head64(buffer, 0xD3, <uint64_t>number)
    return 1


cdef int _put_utf8(Buffer *buffer, const char *text, Py_ssize_t size) except -1:
    if size < 32:
        put_byte(buffer, 0xA0 | <int>size)
    elif size < 0x100:
        _head8(buffer, 0xD9, <int>size)
    elif size < 0x10000:
        _head16(buffer, 0xDA, <uint16_t>size)
    else:
        _head32(buffer, 0xDB, <uint32_t>size)
    return put_raw(buffer, text, size)


cdef inline const char *_utf8(PyObject *value, Py_ssize_t *size) noexcept:
    """NULL for a lone surrogate, which is no text."""
    cdef const char *text
    if PyUnicode_IS_COMPACT_ASCII(value):
        size[0] = PyUnicode_GET_LENGTH(value)
        return <const char *>PyUnicode_DATA(value)
    text = PyUnicode_AsUTF8AndSize(value, size)
    if text == NULL:
        PyErr_Clear()
    return text


cdef inline int _put_text(Buffer *buffer, PyObject *value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char *text
    if PyUnicode_GET_LENGTH(value) > TEXT:
        return 0
    text = _utf8(value, &size)
    if text == NULL:
        return 0
    _put_utf8(buffer, text, size)
    return 1


cdef int put_text(Buffer *buffer, object value) except -1:
    """A text of exact type str. 0: it has a lone surrogate, or is larger than 1 MiB."""
    return _put_text(buffer, <PyObject *>value)


cdef int _put_list(Buffer *buffer, PyObject *value, int depth, How how) except -1:
    cdef Py_ssize_t i, length = PyList_GET_SIZE(value)
    if length > ITEMS or depth > DEPTH:
        return 0
    put_array(buffer, length)
    for i in range(length):
        if not _put(buffer, PyList_GET_ITEM(value, i), depth + 1, how):
            return 0
    return 1


cdef int _put_dict(Buffer *buffer, PyObject *value, int depth, How how) except -1:
    cdef Py_ssize_t at = 0, length = PyDict_Size(value)
    cdef PyObject *name
    cdef PyObject *part
    if length > ITEMS or depth > DEPTH:
        return 0
    if how.in_order and length > 1:
        return _put_sorted(buffer, value, depth, how)
    _put_map(buffer, length)
    while PyDict_Next(value, &at, &name, &part):
        if not PyUnicode_CheckExact(name) or not _put_text(buffer, name):
            return 0
        if not _put(buffer, part, depth + 1, how):
            return 0
    return 1


cdef int _put_sorted(Buffer *buffer, PyObject *value, int depth, How how) except -1:
    """A mapping whose keys are in the order of their code points."""
    cdef Key[SORTED] keys
    cdef Key key
    cdef Py_ssize_t at = 0
    cdef PyObject *name
    cdef int count = 0, i
    if PyDict_Size(value) > SORTED:
        return 0
    while PyDict_Next(value, &at, &name, &key.value):
        if not PyUnicode_CheckExact(name):
            return 0
        key.text = _utf8(name, &key.size)
        if key.text == NULL:
            return 0
        i = count
        while i > 0 and _before(&key, &keys[i - 1]):
            keys[i] = keys[i - 1]
            i -= 1
        keys[i] = key
        count += 1
    _put_map(buffer, count)
    for i in range(count):
        _put_utf8(buffer, keys[i].text, keys[i].size)
        if not _put(buffer, keys[i].value, depth + 1, how):
            return 0
    return 1


cdef bint _before(const Key *one, const Key *other) noexcept:
    cdef Py_ssize_t least = one.size if one.size < other.size else other.size
    cdef int order = memcmp(one.text, other.text, least)
    return order < 0 or (order == 0 and one.size < other.size)


cdef int _put(Buffer *buffer, PyObject *value, int depth, How how) except -1:
    if PyUnicode_CheckExact(value):
        if how.shared != NULL and PyUnicode_GET_LENGTH(value) >= LONG and _put_reference(buffer, value, how.shared):
            return 1
        return _put_text(buffer, value)
    if PyDict_CheckExact(value):
        return _put_dict(buffer, value, depth, how)
    if PyList_CheckExact(value):
        return _put_list(buffer, value, depth, how)
    if PyLong_CheckExact(value):
        return _put_integer(buffer, value)
    if PyFloat_CheckExact(value):
        put_float(buffer, PyFloat_AS_DOUBLE(value))
    elif value == Py_None:
        put_byte(buffer, 0xC0)
    elif value == Py_True:
        put_byte(buffer, 0xC3)
    elif value == Py_False:
        put_byte(buffer, 0xC2)
    else:
        return 0
    return 1


cdef int put_plain(Buffer *buffer, object value, bint in_order) except -1:
    """Text, numbers, lists and mappings with text keys. 0, and nothing written: something else is in it, or too much.

    `in_order`: mappings in the order of their keys, as msgspec's `order="deterministic"` writes them.
    """
    cdef Py_ssize_t before = buffer.size
    cdef How how
    how.in_order, how.shared = in_order, NULL
    if _put(buffer, <PyObject *>value, 0, how):
        return 1
    buffer.size = before
    return 0


cdef int put_sharing(Buffer *buffer, object value, const Shared *shared) except -1:
    """As `put_plain`, with a reference where a long text is the very one that the draft has elsewhere."""
    cdef Py_ssize_t before = buffer.size
    cdef How how
    how.in_order, how.shared = False, shared
    if _put(buffer, <PyObject *>value, 0, how):
        return 1
    buffer.size = before
    return 0


cdef void share(Shared *shared, object text, uint32_t place) noexcept:
    """Let later values refer to a text that was packed at `place`."""
    if shared.count < SHARED and PyUnicode_GET_LENGTH(<PyObject *>text) >= LONG:
        Py_INCREF(<PyObject *>text)
        shared.texts[shared.count], shared.places[shared.count] = <PyObject *>text, place
        shared.count += 1


cdef bint _put_reference(Buffer *buffer, PyObject *text, const Shared *shared) except -1:
    cdef int i
    for i in range(shared.count):
        if shared.texts[i] == text:
            put_byte(buffer, 0xD6)  # four bytes of an extension's own
            return not _head32(buffer, REFERENCE, shared.places[i])
    return False


def packed(value, bint in_order=False):
    """A plain value as msgpack; None where something else is in it (see `put_plain`)."""
    cdef Buffer buffer
    take_buffer(&buffer)
    try:
        if not put_plain(&buffer, value, in_order):
            return None
        return PyBytes_FromStringAndSize(buffer.memory, buffer.size)
    finally:
        give_buffer(&buffer)
