"""A root file system without extended attributes, as gVisor's guests get it.

This runsc asks the host for a guest's attributes by a descriptor that, for a symbolic link, cannot be asked
(O_PATH), and hands the guest EBADF. `ls -l` then complains beside every link, and fails. With the host's
answer replaced by EOPNOTSUPP the guest sees a file system that has no such attributes, which every program
understands. The filter is classic BPF (linux/filter.h, linux/seccomp.h) over the numbers of the four calls.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

# fsetxattr, fgetxattr, flistxattr, fremovexattr
_NUMBERS = {"x86_64": (190, 193, 196, 199), "aarch64": (7, 10, 13, 16)}

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_LOAD_WORD = 0x20
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_OFFSET_OF_NUMBER = 0

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def refuse() -> None:
    """For the calling thread and what it starts. Raises OSError."""
    numbers = _NUMBERS[platform.machine()]
    instructions = [_instruction(_LOAD_WORD, value=_OFFSET_OF_NUMBER)]
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        instructions.append(_instruction(_JUMP_IF_EQUAL, if_true=left, value=number))
    instructions.append(_instruction(_RETURN, value=_RET_ALLOW))
    instructions.append(_instruction(_RETURN, value=_RET_ERRNO | errno.EOPNOTSUPP))
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = _Program(len(instructions), ctypes.cast(code, ctypes.c_void_p))
    if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "the kernel refuses a system call filter")


def _instruction(code: int, *, if_true: int = 0, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, 0, value)
