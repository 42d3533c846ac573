# SPDX-License-Identifier: MIT
"""Frames by hand, right and wrong, for the tests that are a livetext machine's neighbour.

Invariant: lengths and checksums are filled in right unless the caller gives others. Callers:
test_net_traffic.py, test_net_faults.py.
"""

import socket
import struct

GUEST_MAC, PEER_MAC = "52:54:00:12:34:56", "02:00:00:00:00:77"
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
GUEST, PEER = "10.0.2.15", "10.0.2.77"  # nobody's address on the host: no stack answers for it
IPV4, ARP, ICMP, UDP = 0x0800, 0x0806, 1, 17


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload, kind=IPV4, to=GUEST_MAC, source=PEER_MAC, pad=60):
    frame = mac_bytes(to) + mac_bytes(source) + struct.pack(">H", kind) + payload
    return frame.ljust(pad, b"\0")


def ipv4(payload, protocol=UDP, to=GUEST, source=PEER, version=4, words=None, length=None,
         fragment=0x4000, options=b"", total=None):
    """@words: header length in 32-bit words; @length: total length; @total: the checksum."""
    words = 5 + len(options) // 4 if words is None else words
    length = 20 + len(options) + len(payload) if length is None else length
    header = struct.pack(">BBHHHBBH4s4s", version << 4 | words, 0, length, 0, fragment, 64,
                         protocol, 0, socket.inet_aton(source), socket.inet_aton(to)) + options
    total = checksum(header) if total is None else total
    return header[:10] + struct.pack(">H", total) + header[12:] + payload


def udp(payload, port=9, source_port=4000, length=None, total=None, to=GUEST, source=PEER):
    length = 8 + len(payload) if length is None else length
    head = struct.pack(">HHH", source_port, port, length)
    if total is None:
        pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">HH", UDP, length)
        total = checksum(pseudo + head + b"\0\0" + payload) or 0xFFFF
    return head + struct.pack(">H", total) + payload


def icmp(kind=8, code=0, rest=b"\0\1\0\1", payload=b"livetext", total=None):
    head = bytes([kind, code])
    total = checksum(head + b"\0\0" + rest + payload) if total is None else total
    return head + struct.pack(">H", total) + rest + payload


def arp(operation=1, sender_mac=PEER_MAC, sender=PEER, target_mac="00:00:00:00:00:00",
        target=GUEST, hardware=1, kind=IPV4, sizes=(6, 4)):
    return struct.pack(">HHBBH", hardware, kind, *sizes, operation) + mac_bytes(sender_mac) \
        + socket.inet_aton(sender) + mac_bytes(target_mac) + socket.inet_aton(target)
