"""Servers and clients of ordinary traffic. Ranges such as 5000-5029 are written with their ends.

    ftp | smtp ADDRESSES | tcp PORT | udp PORTS               serve until the end
    connect SOURCE ADDRESSES PORTS TIMES OUTCOME              TCP, without data
    ask SOURCES SOURCE-PORTS ADDRESS PORTS                    UDP, and wait for the answers
"""

import asyncio
import errno
import socket
import sys
import time

# Of a client's connections, in seconds.
PACE = 0.002
TIMEOUT = 20
ROUNDS = 3
FILE = b"x" * 3000
# linux/in.h
IP_PKTINFO = 8


def numbers(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def addresses(text):
    network, _, last = text.rpartition(".")
    return [f"{network}.{number}" for number in numbers(last)]


async def listen(handler, host, port):
    return await asyncio.start_server(handler, host, port, reuse_port=True, backlog=500)


async def echo(reader, writer):
    writer.write(await reader.read(4096))
    writer.close()


async def converse(reader, writer):
    """FTP (RFC 959 and 2428) and SMTP, as far as curl needs them."""
    replies = {b"QUIT": "221 bye", b"PWD": '257 "/"', b"SIZE": f"213 {len(FILE)}"}
    replies |= {b"USER": "230 welcome", b"TYPE": "200 ok"}
    arrived = asyncio.Queue()
    say = lambda line: writer.write(line.encode() + b"\r\n")
    say("220 ready")
    while line := await reader.readline():
        command = line[:4].strip()
        if command == b"EPSV":
            data = await listen(lambda *ends: arrived.put(ends[1]), "0.0.0.0", 0)
            say(f"229 ok (|||{data.sockets[0].getsockname()[1]}|)")
        elif command == b"RETR":
            say("150 here it comes")
            receiver = await arrived.get()
            receiver.write(FILE)
            receiver.close()
            data.close()
            say("226 done")
        elif command == b"DATA":
            say("354 go on")
            await reader.readuntil(b"\r\n.\r\n")
            say("250 ok")
        else:
            say(replies.get(command, "250 ok"))
    writer.close()


def answer(server):
    # The answer comes from the address that was asked.
    message, asked, _, asker = server.recvmsg(2048, 64)
    server.sendmsg([message], asked, 0, asker)


async def serve(kind, where="0"):
    if kind == "ftp":
        await listen(converse, "0.0.0.0", 21)
    elif kind == "smtp":
        await listen(converse, addresses(where), 25)
    elif kind == "tcp":
        await listen(echo, "0.0.0.0", int(where))
    elif kind == "udp":
        for port in numbers(where):
            server = socket.socket(type=socket.SOCK_DGRAM)
            server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("", port))
            asyncio.get_running_loop().add_reader(server, answer, server)
    print("ready", flush=True)
    await asyncio.Event().wait()


def connect(source, targets, ports, times, expected):
    # A SYN that nobody answers has left when the call returns.
    timeout = 0 if expected == "EINPROGRESS" else TIMEOUT
    ends = [(address, port) for address in addresses(targets) for port in numbers(ports)]
    for end in ends * int(times):
        with socket.socket() as client:
            client.settimeout(timeout)
            client.bind((source, 0))
            error = client.connect_ex(end)
            outcome = errno.errorcode.get(error, "connected")
            assert outcome == expected, (end, outcome)
        time.sleep(PACE)


def ask(sources, own_ports, target, ports):
    clients = []
    for source in addresses(sources):
        for own_port in numbers(own_ports):
            for port in numbers(ports):
                client = socket.socket(type=socket.SOCK_DGRAM)
                client.settimeout(TIMEOUT)
                client.bind((source, own_port))
                clients.append((client, (target, port)))
    for _ in range(ROUNDS):
        for client, end in clients:
            client.sendto(b"question", end)
            client.recv(4096)


verb, *arguments = sys.argv[1:]
if verb in ("connect", "ask"):
    {"connect": connect, "ask": ask}[verb](*arguments)
else:
    asyncio.run(serve(verb, *arguments))
