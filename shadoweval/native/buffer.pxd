"""Bytes that grow, and msgpack's heads in them; inline, since every value is made of them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <endian.h>
    """
    uint16_t htobe16(uint16_t number) noexcept
    uint32_t htobe32(uint32_t number) noexcept
    uint64_t htobe64(uint64_t number) noexcept

cdef struct Buffer:
    char *memory
    Py_ssize_t size
    Py_ssize_t room

cdef double seconds() noexcept
cdef void take_buffer(Buffer *buffer) noexcept
cdef void give_buffer(Buffer *buffer) noexcept
cdef int grow(Buffer *buffer, Py_ssize_t more) except -1


cdef inline int _room(Buffer *buffer, Py_ssize_t more) except -1:
    return grow(buffer, more) if buffer.size + more > buffer.room else 0


cdef inline int put_raw(Buffer *buffer, const void *source, Py_ssize_t size) except -1:
    _room(buffer, size)
    memcpy(buffer.memory + buffer.size, source, size)
    buffer.size += size
    return 0


cdef inline int put_byte(Buffer *buffer, int byte) except -1:
    _room(buffer, 1)
    buffer.memory[buffer.size] = <char>byte
    buffer.size += 1
    return 0


cdef inline int put_bytes(Buffer *buffer, bytes value) except -1:
    """Bytes that are msgpack already."""
    return put_raw(buffer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef inline int head8(Buffer *buffer, int code, int number) except -1:
    _room(buffer, 2)
    buffer.memory[buffer.size] = <char>code
    buffer.memory[buffer.size + 1] = <char>number
    buffer.size += 2
    return 0


cdef inline int head16(Buffer *buffer, int code, uint16_t number) except -1:
    cdef uint16_t big = htobe16(number)
    _room(buffer, 3)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 2)
    buffer.size += 3
    return 0


cdef inline int head32(Buffer *buffer, int code, uint32_t number) except -1:
    cdef uint32_t big = htobe32(number)
    _room(buffer, 5)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 4)
    buffer.size += 5
    return 0


cdef inline int head64(Buffer *buffer, int code, uint64_t number) except -1:
    cdef uint64_t big = htobe64(number)
    _room(buffer, 9)
    buffer.memory[buffer.size] = <char>code
    memcpy(buffer.memory + buffer.size + 1, &big, 8)
    buffer.size += 9
    return 0


cdef inline int _binary(Buffer *buffer, const void *source, Py_ssize_t size) except -1:
    if size < 0x100:
        head8(buffer, 0xC4, <int>size)
    elif size < 0x10000:
        head16(buffer, 0xC5, <uint16_t>size)
    else:
        head32(buffer, 0xC6, <uint32_t>size)
    return put_raw(buffer, source, size)


cdef inline int put_binary(Buffer *buffer, const Buffer *value) except -1:
    """What is in another buffer, as a binary value."""
    return _binary(buffer, value.memory, value.size)


cdef inline int put_blob(Buffer *buffer, bytes value) except -1:
    """Bytes as a value."""
    return _binary(buffer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef inline int put_bin32(Buffer *buffer) except -1:
    """The head of a binary value whose size is not known yet."""
    return head32(buffer, 0xC6, 0)


cdef inline void end_bin32(Buffer *buffer, Py_ssize_t start) noexcept:
    """Write the size of the binary value whose head begins at `start`."""
    cdef uint32_t big = htobe32(<uint32_t>(buffer.size - start - 5))
    memcpy(buffer.memory + start + 1, &big, 4)


cdef inline int put_array(Buffer *buffer, Py_ssize_t length) except -1:
    if length < 16:
        return put_byte(buffer, 0x90 | <int>length)
    if length < 0x10000:
        return head16(buffer, 0xDC, length)
    return head32(buffer, 0xDD, length)


cdef inline int put_map(Buffer *buffer, Py_ssize_t length) except -1:
    if length < 16:
        return put_byte(buffer, 0x80 | <int>length)
    return head16(buffer, 0xDE, length)


cdef inline int put_float(Buffer *buffer, double value) except -1:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return head64(buffer, 0xCB, bits)
