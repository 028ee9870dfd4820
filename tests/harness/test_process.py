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


# Raw and packet sockets by kind and family. They stay open.
RAW = {}


def open_raw(kind, *arguments):
    key = (kind, *arguments)
    if key not in RAW:
        RAW[key] = _socket.socket(*arguments)
    return RAW[key]


def segment(port, flags):
    """A header with the sequence number 1, from port 40000. Kernels read the checksum, recon not."""
    ports = (40000).to_bytes(2, "big") + port.to_bytes(2, "big")
    words = b"\x00\x00\x00\x01" + bytes(4) + b"\x50" + bytes([flags]) + b"\x04\x00"
    return ports + words + bytes(4)


SYN = 2


def send_raw(address, port, flags=SYN):
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    sender = open_raw("raw", family, _socket.SOCK_RAW, _socket.IPPROTO_TCP)
    if family == _socket.AF_INET6:
        # The kernel fills in the checksum at that offset.
        sender.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_CHECKSUM, 16)
    # An IPv6 raw socket takes no port.
    sender.sendto(segment(port, int(flags)), (address, 0))
    return "sent"


def ping(address, kind):
    """Sends an echo request from a raw socket (3) or a ping socket (2)."""
    is_v6 = ":" in address
    family = _socket.AF_INET6 if is_v6 else _socket.AF_INET
    protocol = _socket.IPPROTO_ICMPV6 if is_v6 else _socket.IPPROTO_ICMP
    sender = open_raw("ping", family, kind, protocol)
    sender.sendto(bytes([128 if is_v6 else 8]) + bytes(7), (address, 0))
    return "sent"


def send_packet(address, port, interface, source, flags=SYN):
    """Sends a segment as a whole frame, to an unknown station."""
    protocol = b"\x08\x00"
    sender = open_raw("packet", _socket.AF_PACKET, _socket.SOCK_RAW, 0)
    parts = [source, address]
    ends = b"".join(bytes(int(byte) for byte in part.split(".")) for part in parts)
    header = b"\x45\x00\x00\x28" + bytes(4) + b"\x40\x06\x00\x00" + ends
    stations = b"\x02\x00\x00\x00\x00\x09" + b"\x02\x00\x00\x00\x00\x01"
    sender.sendto(stations + protocol + header + segment(port, int(flags)), (interface, 0x0800))
    return "sent"


def connect_datagram(address, port):
    """Sends from a socket that stays open and connected."""
    key = ("udp", address, port)
    if key not in RAW:
        RAW[key] = open_socket(address, _socket.SOCK_DGRAM)
        RAW[key].connect((address, port))
    else:
        RAW[key].send(b"anybody?")
    return "sent"


def begin(address, port):
    """Starts to connect, and does not wait."""
    connection = open_socket(address, _socket.SOCK_STREAM)
    connection.setblocking(False)
    RAW["tcp", address, port] = connection
    try:
        connection.connect((address, port))
    except BlockingIOError:
        pass
    return "sent"


def ask(address, port, way):
    """Sends a DNS query from a new socket, connected or not, and waits for the answer."""
    query = bytes([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1])
    asker = open_socket(address, _socket.SOCK_DGRAM)
    try:
        asker.settimeout(TIMEOUT)
        if way == "connected":
            asker.connect((address, port))
            asker.send(query)
        else:
            asker.sendto(query, (address, port))
        asker.recvfrom(4096)
    finally:
        asker.close()
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
    "ask": ask,
    "raw": send_raw,
    "ping": ping,
    "packet": send_packet,
    "datagram": connect_datagram,
    "begin": begin,
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
