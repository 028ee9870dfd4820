"""Holds Unix sockets of every type at abstract addresses, until it is killed.

usage: hold_sockets.py ADDRESS ...

Of a type whose sockets connect, one listens, one has connected and one was accepted there. An
address that another socket of its type has is left out.
"""

import socket
import sys

held = []


def hold(address, kind):
    bound = socket.socket(socket.AF_UNIX, kind)
    try:
        bound.bind("\0" + address)
    except OSError:
        return
    held.append(bound)
    if kind != socket.SOCK_DGRAM:
        bound.listen()
        client = socket.socket(socket.AF_UNIX, kind)
        client.connect("\0" + address)
        held.extend([client, bound.accept()])


for address in sys.argv[1:]:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        hold(address, kind)
print("holds", flush=True)
sys.stdin.read()
