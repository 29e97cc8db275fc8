# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Plain values as msgpack: the walk of `capture.copying.carried` and msgspec's encoder in one.

No Python code runs while a value is packed, so nobody changes it meanwhile.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from shadoweval.native.buffer cimport (
    Buffer,
    give_buffer,
    head8,
    head16,
    head32,
    head64,
    put_array,
    put_byte,
    put_float,
    put_map,
    put_raw,
    take_buffer,
)

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
    Py_ssize_t PY_SSIZE_T_MAX
    PyObject *Py_None
    PyObject *Py_True
    PyObject *Py_False

cdef enum:
    ITEMS = 4096
    TEXT = 1048576
    DEPTH = 256
    SORTED = 32
    LONG = 128
    REFERENCE = 7

cdef struct How:
    bint in_order
    bint over  # more than the limit
    Py_ssize_t limit
    const Shared *shared

cdef struct Key:
    const char *text
    Py_ssize_t size
    PyObject *value


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
        head64(buffer, 0xCF, large)
    elif number >= 0:
        if number < 0x80:
            put_byte(buffer, <int>number)
        elif number < 0x100:
            head8(buffer, 0xCC, <int>number)
        elif number < 0x10000:
            head16(buffer, 0xCD, <uint16_t>number)
        elif number < 0x100000000:
            head32(buffer, 0xCE, <uint32_t>number)
        else:
            head64(buffer, 0xCF, <uint64_t>number)
    elif number >= -32:
        put_byte(buffer, <int>number)
    elif number >= -0x80:
        head8(buffer, 0xD0, <int>number)
    elif number >= -0x8000:
        head16(buffer, 0xD1, <uint16_t>number)
    elif number >= -0x80000000:
        head32(buffer, 0xD2, <uint32_t>number)
    else:
        head64(buffer, 0xD3, <uint64_t>number)
    return 1


cdef int _put_utf8(Buffer *buffer, const char *text, Py_ssize_t size) except -1:
    if size < 32:
        put_byte(buffer, 0xA0 | <int>size)
    elif size < 0x100:
        head8(buffer, 0xD9, <int>size)
    elif size < 0x10000:
        head16(buffer, 0xDA, <uint16_t>size)
    else:
        head32(buffer, 0xDB, <uint32_t>size)
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


cdef int _put_list(Buffer *buffer, PyObject *value, int depth, How *how) except -1:
    cdef Py_ssize_t i, length = PyList_GET_SIZE(value)
    if length > ITEMS or depth > DEPTH:
        return 0
    put_array(buffer, length)
    for i in range(length):
        if not _put(buffer, PyList_GET_ITEM(value, i), depth + 1, how):
            return 0
    return 1


cdef int _put_dict(Buffer *buffer, PyObject *value, int depth, How *how) except -1:
    cdef Py_ssize_t at = 0, length = PyDict_Size(value)
    cdef PyObject *name
    cdef PyObject *part
    if length > ITEMS or depth > DEPTH:
        return 0
    if how.in_order and length > 1:
        return _put_sorted(buffer, value, depth, how)
    put_map(buffer, length)
    while PyDict_Next(value, &at, &name, &part):
        if not PyUnicode_CheckExact(name) or not _put_text(buffer, name):
            return 0
        if not _put(buffer, part, depth + 1, how):
            return 0
    return 1


cdef int _put_sorted(Buffer *buffer, PyObject *value, int depth, How *how) except -1:
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
    put_map(buffer, count)
    for i in range(count):
        _put_utf8(buffer, keys[i].text, keys[i].size)
        if not _put(buffer, keys[i].value, depth + 1, how):
            return 0
    return 1


cdef bint _before(const Key *one, const Key *other) noexcept:
    cdef Py_ssize_t least = one.size if one.size < other.size else other.size
    cdef int order = memcmp(one.text, other.text, least)
    return order < 0 or (order == 0 and one.size < other.size)


cdef int _put(Buffer *buffer, PyObject *value, int depth, How *how) except -1:
    if PyUnicode_CheckExact(value):
        if how.shared != NULL and PyUnicode_GET_LENGTH(value) >= LONG and _put_reference(buffer, value, how.shared):
            return 1
        if buffer.size + PyUnicode_GET_LENGTH(value) > how.limit:
            how.over = True
            return 0
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
    return _packed(buffer, value, in_order, NULL, PY_SSIZE_T_MAX) == 1


cdef int put_sharing(Buffer *buffer, object value, const Shared *shared, Py_ssize_t most) except -1:
    """As `put_plain`, with a reference where a long text is the very one that the draft has elsewhere.

    2, and nothing written: it takes more bytes than `most`.
    """
    return _packed(buffer, value, False, shared, buffer.size + most)


cdef int _packed(Buffer *buffer, object value, bint in_order, const Shared *shared, Py_ssize_t limit) except -1:
    cdef Py_ssize_t before = buffer.size
    cdef How how
    how.in_order, how.over, how.limit, how.shared = in_order, False, limit, shared
    if _put(buffer, <PyObject *>value, 0, &how) and buffer.size <= limit:
        return 1
    if buffer.size > limit:
        how.over = True
    buffer.size = before
    return 2 if how.over else 0


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
            return not head32(buffer, REFERENCE, shared.places[i])
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
