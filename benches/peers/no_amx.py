"""Runs a program that gets no AMX: `no_amx.py PROGRAM [ARGUMENT…]`.

Linux gives a process AMX's tiles only if it asks for them, by `arch_prctl(ARCH_REQ_XCOMP_PERM)`. A
seccomp filter answers that question with EPERM, so this holds for every program, whatever switch
it has or lacks.
"""

import ctypes
import os
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ARCH_PRCTL = 158
_ARCH_REQ_XCOMP_PERM = 0x1023

# Berkeley packet filter: load a word, jump if equal, return.
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
# Where in `struct seccomp_data` the number of the call and its first argument are.
_NUMBER, _ARGUMENT = 0, 16


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def deny() -> None:
    """Denies AMX to this process and all that it becomes and starts."""
    if platform.machine() != "x86_64":
        return
    instructions = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _NUMBER),
            (_IF_EQUAL, 0, 3, _ARCH_PRCTL),
            (_LOAD, 0, 0, _ARGUMENT),
            (_IF_EQUAL, 0, 1, _ARCH_REQ_XCOMP_PERM),
            (_RETURN, 0, 0, _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    deny()
    os.execvp(sys.argv[1], sys.argv[1:])
