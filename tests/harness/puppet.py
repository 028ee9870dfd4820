"""Does what it is told, a line at a time, and answers each with a line: VERB ADDRESS PORT [SOURCE]."""

import errno
import socket
import sys
import threading

# In seconds. A connection that nobody answers is given up.
TIMEOUT = 10


def open_socket(address, kind):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, kind)


def connect(address, port, *source):
    with open_socket(address, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        if source:
            connection.bind((*source, 0))
        connection.connect((address, port))
        connection.shutdown(socket.SHUT_WR)
        # A server that is called faster than it accepts would drop some calls.
        while connection.recv(4096):
            pass
    return "connected"


def send(address, port):
    with open_socket(address, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"anybody?", (address, port))
    return "sent"


def listen(address, port):
    listener = open_socket(address, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    threading.Thread(target=serve, args=[listener], daemon=True).start()
    return "listening"


def serve(listener):
    while True:
        connection, _ = listener.accept()
        try:
            # To its end, so that the client closes first.
            while connection.recv(4096):
                pass
        except OSError:
            pass
        connection.close()


VERBS = {"connect": connect, "send": send, "listen": listen}

for line in sys.stdin:
    verb, address, port, *source = line.split()
    try:
        answer = VERBS[verb](address, int(port), *source)
    except socket.timeout:
        answer = "ETIMEDOUT"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(answer, flush=True)
