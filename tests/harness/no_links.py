"""Runs a program whose bpf(2) makes no links, so that TC programs attach as filters of clsact.

usage: no_links.py PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import struct
import sys

BPF, SECCOMP = {"x86_64": (321, 317), "aarch64": (280, 277)}[os.uname().machine]
LINK_CREATE = 28
EINVAL = 22
MODE_FILTER = 1

RULES = [
    (0x20, 0, 0, 0),  # the number of the system call
    (0x15, 0, 3, BPF),
    (0x20, 0, 0, 16),  # its first argument
    (0x15, 0, 1, LINK_CREATE),
    (0x06, 0, 0, 0x00050000 | EINVAL),  # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in RULES))
program = struct.pack("HxxxxxxP", len(RULES), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(SECCOMP, MODE_FILTER, 0, program) < 0:
    raise OSError(ctypes.get_errno(), "seccomp")
os.execvp(sys.argv[1], sys.argv[1:])
