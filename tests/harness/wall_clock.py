"""Runs a program whose wall clock is that of this machine plus what a file says, in seconds.

usage: wall_clock.py FILE PROGRAM [ARGUMENT ...]

The machine's clock is not touched. The kernel stops each clock_gettime(CLOCK_REALTIME) of the
program (seccomp user notification), and a second process answers it. The program finds no vDSO, so
that it asks the kernel: the second process removes it from what the kernel tells a new program.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys
import time

CLOCK_GETTIME, SECCOMP, PIDFD_OPEN, PIDFD_GETFD = {
    "x86_64": (228, 317, 434, 438),
    "aarch64": (113, 277, 434, 438),
}[os.uname().machine]
MODE_FILTER, NEW_LISTENER = 1, 1 << 3
RECEIVE, SEND = 0xC0502100, 0xC0182101
SEIZE, DETACH, TRACE_EXEC = 0x4206, 17, 0x10
WAIT_ALL = 0x40000000
AUX_IGNORE, AUX_VDSO = 1, 33

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def install_filter():
    """A filter that asks a listener about the wall clock and allows everything else."""
    rules = [
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 3, CLOCK_GETTIME),
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 0, 1, time.CLOCK_REALTIME),
        (0x06, 0, 0, 0x7FC00000),  # SECCOMP_RET_USER_NOTIF
        (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    code = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(buffer))
    return check(libc.syscall(SECCOMP, MODE_FILTER, NEW_LISTENER, program))


def remove_vdso(pid):
    """Waits for the program to start, and hides the vDSO from it."""
    os.waitpid(pid, WAIT_ALL)
    with open(f"/proc/{pid}/stat") as stat:
        # The 28th field, after a name that may have blanks.
        address = int(stat.read().rsplit(")", 1)[1].split()[25])
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:

        def word(at):
            memory.seek(at)
            return struct.unpack("Q", memory.read(8))[0]

        address += 8 * (word(address) + 2)  # the arguments
        while word(address):  # the environment
            address += 8
        address += 8
        while word(address):
            if word(address) == AUX_VDSO:
                memory.seek(address)
                memory.write(struct.pack("Q", AUX_IGNORE))
            address += 16
    check(libc.ptrace(DETACH, pid, None, None))


def answer(listener, offset_file):
    """Answers until no process with the filter is left."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        (_, events), = poll.poll()
        if not events & select.POLLIN:
            return
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, request)
        except OSError:
            continue
        number, pid = struct.unpack_from("QI", request)
        target = struct.unpack_from("Q", request, 40)[0]
        with open(offset_file) as file:
            now = time.time_ns() + int(file.read() or 0) * 1_000_000_000
        try:
            with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
                memory.seek(target)
                memory.write(struct.pack("qq", now // 1_000_000_000, now % 1_000_000_000))
            fcntl.ioctl(listener, SEND, bytearray(struct.pack("Qqii", number, 0, 0, 0)))
        except OSError:
            # The thread has ended meanwhile.
            continue


def main():
    offset_file, *command = sys.argv[1:]
    (numbers, number), (go, ready) = os.pipe(), os.pipe()
    program = os.getpid()
    if os.fork():
        os.write(number, struct.pack("i", install_filter()))
        os.read(go, 1)
        os.execvp(command[0], command)
    # The program's output ends with the program.
    null = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    there = struct.unpack("i", os.read(numbers, 4))[0]
    pidfd = check(libc.syscall(PIDFD_OPEN, program, 0))
    listener = check(libc.syscall(PIDFD_GETFD, pidfd, there, 0))
    check(libc.ptrace(SEIZE, program, None, ctypes.c_void_p(TRACE_EXEC)))
    os.write(ready, b".")
    remove_vdso(program)
    answer(listener, offset_file)


main()
