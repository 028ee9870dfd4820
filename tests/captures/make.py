#!/usr/bin/python3
"""Makes the captures that are kept in this folder, but for those of real tools.

In: nothing. Out: FOLDER/capture.pcap.gz for each case, always the same bytes. expect.toml is
written by hand.
The decision held here: cases are kept so that `recon replay --verify tests/captures` shows what
recon says of them, without root and without tools. This script says how each came about.
"""

import gzip
import pathlib
import struct

from scapy.all import (
    ARP, DNS, DNSQR, DNSRR, GRE, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest,
    IPerror, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, Raw, TCPerror,
    UDPerror, fragment, fragment6,
)

HERE = pathlib.Path(__file__).parent
START = 1_700_000_000
HOST, SCANNER, CLIENT, SERVER = "198.51.100.1", "203.0.113.66", "203.0.113.10", "203.0.113.80"
HOST6, SCANNER6 = "2001:db8::1", "2001:db8:66::1"
LAN_HOST, LAN_OTHER, LAN_THIRD = "198.51.100.10", "198.51.100.20", "198.51.100.30"
MACS = {"src": "02:00:00:00:00:02", "dst": "02:00:00:00:00:01"}
ETHERNET, RAW, LOOPBACK, PPP, COOKED, COOKED2 = 1, 101, 0, 9, 113, 276


def segment(source, destination, ports, flags, seq=0, ack=0, data=b"", **fields):
    """A TCP segment."""
    layer = IPv6 if ":" in source else IP
    tcp = TCP(sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack, **fields)
    packet = layer(src=source, dst=destination) / tcp
    return packet / Raw(data) if data else packet


def datagram(source, destination, ports, data=b"x" * 20, **fields):
    """A UDP datagram."""
    layer = IPv6 if ":" in source else IP
    return layer(src=source, dst=destination, **fields) / UDP(sport=ports[0], dport=ports[1]) / Raw(data)


def refused(probe):
    """The reset that answers a SYN to a closed port."""
    layer = IPv6 if IPv6 in probe else IP
    ends, tcp = probe[layer], probe[TCP]
    return segment(ends.dst, ends.src, (tcp.dport, tcp.sport), "RA", 0, tcp.seq + 1)


def unreachable(datagram, code=3, router=None):
    """The ICMP error that refuses a datagram, of its receiver or of a router."""
    ends = datagram[IP]
    return IP(src=router or ends.dst, dst=ends.src) / ICMP(type=3, code=code) / Raw(bytes(ends)[:28])


def connection(client, server, ports, asked=b"hello", answered=b"world", end="fin"):
    """A TCP connection from its SYN to its end."""
    there, back = (client, server, ports), (server, client, ports[::-1])
    packets = [
        segment(*there, "S", 1000, options=[("MSS", 1460)]),
        segment(*back, "SA", 5000, 1001, options=[("MSS", 1460)]),
        segment(*there, "A", 1001, 5001),
        segment(*there, "PA", 1001, 5001, asked),
        segment(*back, "A", 5001, 1001 + len(asked)),
        segment(*back, "PA", 5001, 1001 + len(asked), answered),
        segment(*there, "A", 1001 + len(asked), 5001 + len(answered)),
    ]
    sent, got = 1001 + len(asked), 5001 + len(answered)
    if end == "fin":
        packets += [
            segment(*there, "FA", sent, got), segment(*back, "A", got, sent + 1),
            segment(*back, "FA", got, sent + 1), segment(*there, "A", sent + 1, got + 1),
        ]
    elif end == "reset":
        packets.append(segment(*there, "RA", sent, got))
    return packets


def spread(packets, pause=0.01, start=START):
    """Packets with their times."""
    return [(start + number * pause, packet) for number, packet in enumerate(packets)]


def scan(source=SCANNER, destination=HOST, ports=range(2000, 2040), answered=True):
    """SYNs to closed ports, and the resets."""
    packets = []
    for port in ports:
        probe = segment(source, destination, (40_000, port), "S", 7, window=1024)
        packets += [probe, refused(probe)] if answered else [probe]
    return packets


def ethernet(packet):
    """The bytes of a packet behind Ethernet's header."""
    if Ether in packet:
        return bytes(packet)
    return bytes(Ether(**MACS, type=0x86DD if IPv6 in packet else 0x0800) / packet)


def bare(packet):
    return bytes(packet)


def cooked(packet):
    return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + bytes(packet)


def cooked2(packet):
    return struct.pack(">HHIHBB8s", 0x0800, 0, 2, 1, 0, 6, bytes(8)) + bytes(packet)


def pcap(packets, link=ETHERNET, frame=ethernet, snaplen=65_535, order="<", nano=False, modified=False):
    """A file of pcap."""
    magic = 0xA1B2CD34 if modified else 0xA1B23C4D if nano else 0xA1B2C3D4
    file = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, snaplen, link)
    for time, packet in packets:
        data = frame(packet)
        fraction = round((time % 1) * (1e9 if nano else 1e6))
        kept = data[:snaplen]
        file += struct.pack(order + "IIII", int(time), fraction, len(kept), len(data))
        file += struct.pack(order + "IHBB", 0, 0, 0, 0) if modified else b""
        file += kept
    return file


def block(kind, body):
    """A block of pcapng."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def pcapng(packets):
    """A file of pcapng: packets by turns of an Ethernet and a raw interface, simple ones between,
    and blocks without packets."""
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interfaces = [block(1, struct.pack("<HHI", link, 0, 0)) for link in (ETHERNET, RAW)]
    names = block(4, struct.pack("<HH4sHH", 1, 11, bytes([203, 0, 113, 66]), 0, 0) + b"scanner\0")
    secrets = block(10, struct.pack("<II", 0x544C534B, 4) + b"keys")
    file = section + b"".join(interfaces) + names + secrets
    for number, (time, packet) in enumerate(packets):
        if number % 3 == 2:
            data = ethernet(packet)
            file += block(3, struct.pack("<I", len(data)) + data)
            continue
        data = (ethernet, bare)[number % 3](packet)
        ticks = round(time * 1e6)
        head = struct.pack("<IIIII", number % 3, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        file += block(6, head + data)
    return file


def write(name, file):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "capture.pcap.gz").write_bytes(gzip.compress(file, 9, mtime=0))


def dns(client, server, port, answered=True):
    question = DNS(id=port, rd=1, qd=DNSQR(qname="example.org"))
    answer = DNS(id=port, qr=1, qd=question.qd, an=DNSRR(rrname="example.org", rdata="203.0.113.80"))
    asked = IP(src=client, dst=server) / UDP(sport=port, dport=53) / question
    reply = IP(src=server, dst=client) / UDP(sport=53, dport=port) / answer
    return [asked, reply] if answered else [reply]


def write_scans():
    """What must be reported, in all kinds of files."""
    probes = spread(scan())
    write("link-cooked", pcap(probes, COOKED, cooked))
    write("link-cooked2", pcap(probes, COOKED2, cooked2))
    write("link-raw", pcap(probes, RAW, bare))
    write("link-loopback", pcap(probes, LOOPBACK, lambda p: struct.pack("<I", 2) + bytes(p)))
    write("link-ppp", pcap(probes, PPP, lambda p: b"\xff\x03\x00\x21" + bytes(p)))
    tag = lambda p: bytes(Ether(**MACS) / Dot1Q(vlan=7) / p)
    write("vlan", pcap(probes, frame=tag))
    tags = lambda p: bytes(Ether(**MACS) / Dot1AD(vlan=9, type=0x8100) / Dot1Q(vlan=7) / p)
    write("vlan-qinq", pcap(probes, frame=tags))
    write("file-big-endian", pcap(probes, order=">"))
    write("file-nanoseconds", pcap(probes, nano=True))
    write("file-modified", pcap(probes, modified=True))
    write("file-pcapng", pcapng(probes))
    write("snaplen-68", pcap(probes, snaplen=68))
    wide = [(t, p / Raw(bytes(400)) if TCP in p and p[TCP].flags == "S" else p) for t, p in probes]
    write("snaplen-96", pcap(wide, snaplen=96))
    write("time-zero", pcap([(0, p) for _, p in probes]))
    write("time-disordered", pcap([probes[number ^ 3] for number in range(len(probes))]))
    write("span-scan", pcap([pair for pair in probes for _ in range(2)]))
    extended = []
    for time, p in spread(scan(SCANNER6, HOST6)):
        if p[TCP].flags == "S":
            p = IPv6(src=p.src, dst=p.dst) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / p[TCP]
        extended.append((time, p))
    write("ipv6-extension-headers", pcap(extended))
    write("ipv6-scan", pcap(spread(scan(SCANNER6, HOST6))))
    pieces = []
    for port in range(2000, 2040):
        probe = datagram(SCANNER, HOST, (40_000, port), bytes(96), id=port)
        pieces += fragment(probe, 64) + [unreachable(fragment(probe, 64)[0])]
    write("fragments-udp", pcap(spread(pieces)))
    hours = [(START + n // 2 * 2700 + n % 2 * 0.01, p) for n, p in enumerate(scan(ports=range(2000, 2025)))]
    write("slow-scan", pcap(hours))
    write("one-direction-scan", pcap(spread(scan(answered=False))))
    # The number of sources is an estimate, so they are far above the threshold of 3,000.
    flood = [IP(src=f"203.{i >> 8}.{i & 255}.9", dst=HOST, chksum=0)
             / TCP(sport=1024, dport=25565, flags="S", chksum=0) for i in range(4000)]
    write("flood-spoofed", pcap(spread(flood, 0.001)))
    sweep = [segment(SCANNER, f"198.51.100.{i}", (40_000, 445), "S", 1) for i in range(1, 61)]
    write("sweep-smb", pcap(spread(sweep, 0.05)))
    pings = [IP(src=SCANNER, dst=f"198.51.100.{i}") / ICMP(id=1, seq=i) for i in range(1, 61)]
    write("sweep-ping", pcap(spread(pings, 0.05)))
    asks = [Ether(src=MACS["src"], dst="ff:ff:ff:ff:ff:ff")
            / ARP(hwsrc=MACS["src"], psrc=SCANNER, pdst=f"203.0.113.{i}") for i in range(1, 61)]
    write("sweep-arp", pcap(spread(asks, 0.02)))
    ports = (40_000, 22)
    probed = [segment(SCANNER, HOST, ports, "S", 7), segment(HOST, SCANNER, ports[::-1], "SA", 9, 8),
              segment(SCANNER, HOST, ports, "R", 8)]
    found = scan() + probed + scan(ports=range(3000, 3010)) + connection(SCANNER, HOST, (50_000, 22))
    write("scan-then-connect", pcap(spread(found, 0.2)))
    write("own-scan", pcap(spread(scan(HOST, SCANNER, range(2000, 2150)))))
    worm = [segment(HOST, f"203.0.{i}.9", (1100 + i, 445), "S", i) for i in range(120)]
    worm += connection(HOST, SERVER, (40_000, 443))
    write("own-sweep", pcap(spread(worm, 0.1)))
    network = [p for i in range(1, 13) for p in scan(SCANNER, f"198.51.100.{i}", range(2000, 2004))]
    network += scan(SCANNER, "198.51.100.20", range(1, 31))
    write("mirror-scan", pcap(spread(network)))


def write_quiet_clients():
    """What clients and servers of all kinds do."""
    lookups = [p for port in range(33_000, 33_060) for p in dns(HOST, "203.0.113.53", port)]
    write("quiet-dns", pcap(spread(lookups, 0.5)))
    peers = [f"203.0.113.{i}" for i in range(1, 31)]
    ntp = [p for peer in peers for p in (
        datagram(HOST, peer, (123, 123), b"\x23" + bytes(47)),
        datagram(peer, HOST, (123, 123), b"\x24" + bytes(47)))]
    write("quiet-ntp", pcap(spread(ntp, 2)))
    page = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    web = [p for i in range(40) for p in connection(CLIENT, HOST, (41_000 + i, 80), page)]
    write("quiet-http", pcap(spread(web, 0.1)))
    kept = connection(CLIENT, HOST, (41_000, 80), page, end=None)
    for i in range(30):
        kept.append(segment(CLIENT, HOST, (41_000, 80), "A", 1000 + len(page), 5006))
        kept.append(segment(HOST, CLIENT, (80, 41_000), "A", 5006, 1001 + len(page)))
    write("quiet-keep-alive", pcap(spread(kept, 60)))
    mail = []
    for i in range(30):
        server = f"203.0.113.{100 + i}"
        tried = segment(HOST, server, (42_000 + i, 25), "S", 1)
        mail += connection(HOST, server, (42_000 + i, 25)) if i % 3 else [tried, refused(tried)]
    for port in (25, 465, 587, 110, 995, 143, 993):
        tried = segment(CLIENT, HOST, (43_000, port), "S", 1)
        mail += connection(CLIENT, HOST, (43_000, port)) if port == 993 else [tried, refused(tried)]
    write("quiet-mail", pcap(spread(mail, 0.3)))
    swarm = []
    for i in range(120):
        peer, ports = f"203.{i}.113.7", (51_413, 20_000 + 37 * i)
        asked = datagram(LAN_HOST, peer, ports, b"d1:ad2:id20:")
        swarm += [asked, datagram(peer, LAN_HOST, ports[::-1], b"d1:rd2:id20:")] if i % 3 == 0 else [asked]
        if i % 4 == 0:
            swarm += connection(LAN_HOST, peer, (52_000 + i, ports[1]))
        else:
            swarm.append(segment(LAN_HOST, peer, (52_000 + i, ports[1]), "S", 1))
    write("quiet-peers", pcap(spread(swarm, 0.5)))
    quic = []
    for i in range(30):
        quic += [datagram(HOST, SERVER, (44_000 + i, 443), b"\xc0" + bytes(199)),
                 datagram(SERVER, HOST, (443, 44_000 + i), b"\xc0" + bytes(199))] * 2
    write("quiet-quic", pcap(spread(quic, 0.2)))
    call = [datagram(HOST, CLIENT, (5060, 5060), b"INVITE sip:a"), datagram(CLIENT, HOST, (5060, 5060), b"SIP/2.0 200")]
    for call_number in range(30):
        media = 16_384 + 4 * call_number
        for i in range(12):
            call += [datagram(CLIENT, HOST, (30_000 + media, media), b"\x80" + bytes(171)),
                     datagram(HOST, CLIENT, (media, 30_000 + media), b"\x80" + bytes(171))]
        control = datagram(CLIENT, HOST, (30_001 + media, media + 1), b"\x80\xc8" + bytes(26))
        call += [control, unreachable(control)]
    write("quiet-voip", pcap(spread(call, 0.02)))
    host_first = [datagram(CLIENT, HOST, (5060, 5060), b"INVITE sip:a"), datagram(HOST, CLIENT, (5060, 5060), b"SIP/2.0 200")]
    for call_number in range(60):
        media = 16_384 + 4 * call_number
        for i in range(20):
            host_first += [datagram(HOST, CLIENT, (media, 30_000 + media), b"\x80" + bytes(171)),
                           datagram(CLIENT, HOST, (30_000 + media, media), b"\x80" + bytes(171))]
        host_first.append(datagram(CLIENT, HOST, (30_001 + media, media + 1), b"\x80\xc8" + bytes(26)))
    write("quiet-voip-host-first", pcap(spread(host_first, 0.02)))
    one_way = [datagram(CLIENT, HOST, (5060, 5060), b"INVITE sip:a"), datagram(HOST, CLIENT, (5060, 5060), b"SIP/2.0 200")]
    for call_number in range(25):
        media = 16_384 + 2 * call_number
        one_way += [datagram(CLIENT, HOST, (30_000 + media, media), b"\x80" + bytes(171))] * 60
    write("quiet-voip-one-way", pcap(spread(one_way, 0.02)))
    write("quiet-span", pcap([pair for pair in spread(web, 0.1) for _ in range(2)]))
    write("quiet-snaplen-68", pcap(spread(web, 0.1), snaplen=68))
    write("quiet-disordered", pcap([spread(web, 0.1)[n ^ 1] for n in range(len(web))]))
    rebuilt = [(t, IP(bytes(p))) for t, p in spread(web, 0.1)]
    for _, p in rebuilt:
        # The card of a host that captures itself fills these in.
        p[TCP].chksum = 0xBEEF
        p[IP].len = 0 if Raw in p else p[IP].len
    write("quiet-offloaded", pcap(rebuilt))


def write_quiet_ends():
    """How connections end, and what they leave behind."""
    again = []
    for i in range(30):
        talk = connection(CLIENT, HOST, (45_000 + i, 443))
        again += talk[:3] + [p for q in talk[3:] for p in (q, q)]
    write("quiet-retransmissions", pcap(spread(again, 0.2)))
    resets = [p for i in range(60) for p in connection(CLIENT, HOST, (45_000 + i, 2000 + i % 30), end="reset")]
    write("quiet-resets", pcap(spread(resets, 0.1)))
    lossy = []
    for i in range(40):
        talk = connection(CLIENT, HOST, (45_000 + i, 2000 + i))
        lossy += talk[:1] + talk[2:] if i % 2 else talk[:2] + talk[4:]
    write("quiet-lossy", pcap(spread(lossy, 0.1)))
    half = []
    for i in range(30):
        ports = (46_000 + i, 3000 + i)
        talk = connection(CLIENT, HOST, ports)
        half += talk[:9] + [segment(HOST, CLIENT, ports[::-1], "PA", 5006, 1007, b"more")] + talk[9:]
    write("quiet-half-closed", pcap(spread(half, 0.1)))
    reused = [p for i in range(40) for p in connection(CLIENT, HOST, (47_000, 2000 + i % 4))]
    write("quiet-port-reuse", pcap(spread(reused, 0.1)))
    middle = [p for i in range(60) for p in connection(CLIENT, HOST, (48_000 + i, 2000 + i))[4:]]
    middle += [p for i in range(60) for p in connection(HOST, SERVER, (48_000 + i, 2000 + i))[5:]]
    write("quiet-middle", pcap(spread(middle, 0.1)))


def write_quiet_network():
    """What a network does by itself."""
    groups = []
    for i in range(30):
        port = 49_200 + i
        for group, service in (("239.255.255.250", 1900), ("224.0.0.252", 5355)):
            to_group = Ether(src=MACS["dst"], dst="01:00:5e:7f:ff:fa")
            groups.append(to_group / datagram(LAN_HOST, group, (port, service)))
            groups.append(datagram(LAN_OTHER, LAN_HOST, (service, port)))
            groups.append(datagram(LAN_THIRD, LAN_HOST, (40_000 + i, port)))
        late = datagram(LAN_OTHER, LAN_HOST, (5355, port))
        groups += [late, unreachable(late)]
    for i in range(1, 30):
        everybody = Ether(src=MACS["src"], dst="ff:ff:ff:ff:ff:ff")
        groups.append(everybody / datagram(f"198.51.100.{i}", "198.51.100.255", (137, 137)))
        groups.append(everybody / datagram("0.0.0.0", "255.255.255.255", (68, 67)))
        mdns = Ether(src=MACS["src"], dst="01:00:5e:00:00:fb")
        groups.append(mdns / datagram(f"198.51.100.{i}", "224.0.0.251", (5353, 5353)))
    write("quiet-multicast", pcap(spread(groups, 0.3)))
    boots = []
    for i in range(30):
        boots.append(datagram(LAN_HOST, SERVER, (2070 + i, 69), b"\0\1pxelinux.cfg\0octet\0"))
        boots.append(datagram(SERVER, LAN_HOST, (3000 + i, 2070 + i), b"\0\5\0\1not found\0"))
    write("quiet-tftp", pcap(spread(boots, 0.1)))
    errors = []
    for i in range(40):
        sent = datagram(HOST, f"203.0.113.{i}", (44_000 + i, 33_434 + i), ttl=3)
        errors.append(sent)
        expired = IP(src="203.0.113.254", dst=HOST) / ICMP(type=11) / Raw(bytes(sent)[:28])
        errors += [expired, unreachable(sent, 1, "203.0.113.254")]
    write("quiet-icmp-errors", pcap(spread(errors, 0.1)))
    traced = []
    for i in range(40):
        probe = datagram(CLIENT, HOST, (44_000 + i, 33_434 + i), ttl=1 + i // 10)
        traced += [probe, unreachable(probe)]
    write("quiet-traceroute", pcap(spread(traced, 0.1)))
    write("quiet-one-direction", pcap(spread([
        p for port in range(1100, 63_000, 1000) for p in dns(HOST, "203.0.113.53", port, False)], 0.5)))
    scatter = []
    for i in range(60):
        victim = "203.0.113.99"
        scatter.append(segment(victim, HOST, (80, 1100 + 1000 * i), "SA", 5, 6))
        scatter.append(segment(victim, HOST, (443, 1101 + 1000 * i), "RA", 0, 6))
        forged = datagram(HOST, victim, (1102 + 1000 * i, 53))
        scatter.append(unreachable(forged))
    write("quiet-backscatter", pcap(spread(scatter, 0.05)))
    reflected = []
    for i in range(1, 81):
        mirror = f"203.0.{i}.7"
        reflected.append(segment(mirror, HOST, (80, 2000 + i), "RA", 0, 6))
        reflected.append(unreachable(datagram(HOST, mirror, (2000 + i, 100 + i))))
        reflected.append(unreachable(datagram(HOST, mirror, (2000 + i, 161)), 13, "203.0.113.254"))
        reflected.append(segment(mirror, HOST, (80, 4000 + i), "SA", 5, 6))
    write("quiet-reflection", pcap(spread(reflected, 0.01)))


def write_lossy():
    """What is left when the capturing program drops packets."""
    server, old = "203.0.113.53", range(1030, 5000, 30)
    # Of three questions one is there, and of their answers all: Windows XP asks from low ports.
    answers = []
    for number, port in enumerate([*old, *range(33_000, 60_000, 400)]):
        asked, answered = dns(HOST, server, port)
        answers += [answered] if number % 3 else [asked, answered]
    kerberos = []
    for port in range(1100, 3000, 40):
        there = datagram(LAN_HOST, SERVER, (port, 88))
        back = datagram(SERVER, LAN_HOST, (88, port))
        kerberos += [there, back] if port % 3 == 1 else [back, unreachable(back)]
    lossy = spread(answers + kerberos, 0.3)
    write("quiet-lossy-answers", pcap(lossy))
    write("quiet-lossy-answers-of-hosts", pcap(lossy))
    # The other way round: whom a server of this network answers, it does not scan.
    served = []
    for number, port in enumerate(old):
        asked, answered = dns(CLIENT, HOST, port)
        served += [answered] if number % 3 else [asked, answered]
    write("quiet-lossy-answers-sent", pcap(spread(served, 0.3)))
    # A server's half of connections to which it sends little, and of those of which more is lost.
    halves = []
    for i in range(60):
        talk = connection(CLIENT, HOST, (1100 + i, 21))
        halves += [talk[1], talk[9]] if i % 2 else [talk[4], talk[9]]
        talk = connection(CLIENT, HOST, (32_000 + i, 33_000 + i))
        halves += [talk[1], talk[9]]
    write("quiet-lossy-ends", pcap(spread(halves, 0.1)))
    # Two SYN-ACKs to a forged address, of which one is lost, and the resets of both.
    scatter = []
    for i in range(60):
        victim = ("203.0.113.99", f"198.51.{i}.7", (80, 1100 + 50 * i))
        scatter.append(segment(*victim, "SA", 5, 6))
        scatter += [segment(victim[1], victim[0], victim[2][::-1], "R", 6)] * 2
    web = [p for i in range(9) for p in connection(CLIENT, HOST, (41_000 + i, 80))]
    write("quiet-lossy-backscatter", pcap(spread(scatter + web, 0.1)))
    # Who serves may scan, and from the port that serves: of services all probes count.
    scanner = [p for port in range(33_000, 33_020) for p in dns(CLIENT, SCANNER, port)]
    scanner += [datagram(SCANNER, HOST, (53, port)) for port in range(100, 140)]
    write("scan-from-service", pcap(spread(scanner, 0.3)))


if __name__ == "__main__":
    write_scans()
    write_quiet_clients()
    write_quiet_ends()
    write_quiet_network()
    write_lossy()
