"""Executes commands, one a line, and answers each with a line: VERB ADDRESS PORT [ARGUMENT].

It imports built-in modules only: the others take most of a start, a second on an emulated machine.
"""

import _socket
import _thread
import errno
import sys

# In seconds, for a connection that nobody answers.
TIMEOUT = 10


def open_socket(address, kind):
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    return _socket.socket(family, kind)


def connect(address, port, *source):
    connection = open_socket(address, _socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT)
        if source:
            connection.bind((*source, 0))
        connection.connect((address, port))
        connection.shutdown(_socket.SHUT_WR)
        # A server drops connections that come faster than it accepts them.
        while connection.recv(4096):
            pass
    finally:
        connection.close()
    return "connected"


def send(address, port):
    sender = open_socket(address, _socket.SOCK_DGRAM)
    try:
        sender.sendto(b"anybody?", (address, port))
    finally:
        sender.close()
    return "sent"


def listen(address, port, size=0, closes=False):
    listener = open_socket(address, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    _thread.start_new_thread(serve, (listener, bytes(int(size)), closes))
    return "listening"


def dismiss(address, port, size):
    return listen(address, port, size, closes=True)


def serve(listener, greeting, closes):
    while True:
        descriptor, _ = listener._accept()
        connection = _socket.socket(fileno=descriptor)
        try:
            connection.sendall(greeting)
            if closes:
                connection.shutdown(_socket.SHUT_WR)
            # Read to the end, so that the client closes first.
            while connection.recv(4096):
                pass
        except OSError:
            pass
        connection.close()


def answer_datagrams(address, port):
    receiver = open_socket(address, _socket.SOCK_DGRAM)
    receiver.bind((address, port))
    _thread.start_new_thread(echo, (receiver,))
    return "listening"


def echo(receiver):
    while True:
        datagram, client = receiver.recvfrom(4096)
        receiver.sendto(datagram, client)


VERBS = {
    "connect": connect,
    "send": send,
    "listen": listen,
    "dismiss": dismiss,
    "echo": answer_datagrams,
}

for line in sys.stdin:
    verb, address, port, *arguments = line.split()
    try:
        answer = VERBS[verb](address, int(port), *arguments)
    except _socket.timeout:
        answer = "ETIMEDOUT"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(answer, flush=True)
