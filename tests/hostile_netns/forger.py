"""Connections and datagrams between any two addresses, in a network namespace of its own.

    forger.py accept REMOTE LOCAL PORT COUNT   connections that the local end accepts and reads
    forger.py connect REMOTE PORT COUNT        connections to that many ports from PORT on
    forger.py send REMOTE PORT COUNT           datagrams to that many ports from PORT on
"""

import socket
import sys


def accept(remote, local, port, count):
    listener = socket.create_server((local, int(port)))
    for _ in range(int(count)):
        client = socket.create_connection((local, int(port)), source_address=(remote, 0))
        client.sendall(b"hello")
        server, _ = listener.accept()
        server.recv(5)
        client.close()
        server.close()


def connect(remote, port, count):
    for number in range(int(count)):
        with socket.socket() as client:
            client.connect_ex((remote, int(port) + number))


def send(remote, port, count):
    for number in range(int(count)):
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", (remote, int(port) + number))


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    {"accept": accept, "connect": connect, "send": send}[verb](*arguments)
