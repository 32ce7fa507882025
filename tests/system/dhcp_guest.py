"""DHCP clients in raw Ethernet frames, for tests: each from its own hardware address, as guests send.

    dhcp_guest.py INTERFACE storm COUNT SECONDS    COUNT guests boot within SECONDS, broadcast, DISCOVER to ACK
    dhcp_guest.py INTERFACE discover MAC           one DISCOVER; prints the reply
    dhcp_guest.py INTERFACE request MAC IP SERVER  one REQUEST that selects SERVER's offer of IP; prints the reply
    dhcp_guest.py INTERFACE reboot MAC IP          one REQUEST of a client that remembers IP
    dhcp_guest.py INTERFACE pxe MAC CLASS ARCH     one DISCOVER of boot firmware; prints the reply
    dhcp_guest.py INTERFACE flood COUNT            COUNT DISCOVERs, each from another unregistered address, as fast as can be

A reply is printed as one JSON object; no reply within two seconds as null. All loops are bounded.
"""

import json
import select
import socket
import struct
import sys
import time

BROADCAST = b"\xff" * 6
NAMES = {1: "discover", 2: "offer", 3: "request", 5: "ack", 6: "nak"}


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def frame(mac, xid, options, ciaddr=b"\0" * 4):
    message = struct.pack("!BBBBIHH4s4s4s4s", 1, 1, 6, 0, xid, 0, 0, ciaddr, b"\0" * 4, b"\0" * 4, b"\0" * 4)
    message += mac + b"\0" * 10 + b"\0" * 192 + b"\x63\x82\x53\x63" + options + b"\xff"
    message = message.ljust(300, b"\0")
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0)
    source = ciaddr
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(message), 0, 0, 64, 17, 0, source, b"\xff" * 4)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return BROADCAST + mac + b"\x08\x00" + header + udp + message


def option(code, value):
    return bytes([code, len(value)]) + value


def kind(number):
    return option(53, bytes([number])) + option(55, bytes([1, 3, 6, 12, 15, 28, 51, 66, 67, 150]))


def parse(data):
    """The reply in a frame: (mac, xid, fields); None when it is none."""
    if len(data) < 282 or data[12:14] != b"\x08\x00" or data[23] != 17 or data[34:38] != b"\x00\x43\x00\x44":
        return None
    message = data[42:]
    options, at = {}, 240
    while at + 1 < len(message) and message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        code, length = message[at], message[at + 1]
        options[code] = options.get(code, b"") + message[at + 2 : at + 2 + length]
        at += 2 + length
    fields = {
        "type": NAMES.get(options.get(53, b"\0")[0]),
        "to": data[0:6].hex(":"),
        "ip": socket.inet_ntoa(message[16:20]),
        "next": socket.inet_ntoa(message[20:24]),
        "server": socket.inet_ntoa(options.get(54, b"\0\0\0\0")),
        "file": message[108:236].rstrip(b"\0").decode("latin-1"),
        "options": {str(code): value.hex() for code, value in options.items()},
    }
    return message[28:34], struct.unpack("!I", message[4:8])[0], fields


class Wire:
    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((interface, 0))
        self.socket.setblocking(False)

    def ask(self, mac, options, ciaddr=b"\0" * 4):
        self.socket.send(frame(mac, 7, options, ciaddr))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            select.select([self.socket], [], [], 0.1)
            for found in self.replies():
                if found[0] == mac and found[1] == 7:
                    return found[2]
        return None

    def replies(self):
        while True:
            try:
                found = parse(self.socket.recv(2048))
            except BlockingIOError:
                return
            if found:
                yield found


def address_of(number):
    return struct.pack("!I", 0x0A400000 + 256 + number)


def mac_of(number):
    return b"\x52\x54\x02" + struct.pack("!I", number)[1:]


def storm(wire, count, seconds):
    """Each guest's DISCOVER is due at its time; one that hears nothing for a second asks again, as clients do."""
    begun, latency, retries = time.monotonic(), {}, 0
    started, last = {}, {}
    pending, asked = {}, 0
    while len(latency) < count and time.monotonic() - begun < seconds + 15:
        now = time.monotonic() - begun
        due = min(count, int(now / seconds * count) + 1)
        while asked < due:
            wire.socket.send(frame(mac_of(asked), asked, kind(1)))
            started[asked] = last[asked] = now
            pending[asked] = kind(1)
            asked += 1
        select.select([wire.socket], [], [], 0.002)
        for mac, number, fields in wire.replies():
            if number not in pending or mac_of(number) != mac:
                continue
            want = socket.inet_ntoa(address_of(number))
            if fields["ip"] != want:
                sys.exit("guest %d got %s instead of %s" % (number, fields["ip"], want))
            if fields["type"] == "offer" and pending[number] == kind(1):
                selected = kind(3) + option(50, address_of(number)) + option(54, socket.inet_aton(fields["server"]))
                pending[number] = selected
                last[number] = time.monotonic() - begun
                wire.socket.send(frame(mac, number, selected))
            elif fields["type"] == "ack":
                latency[number] = time.monotonic() - begun - started[number]
                del pending[number]
        now = time.monotonic() - begun
        for number in [number for number in pending if now - last[number] > 1][:200]:
            retries += 1
            last[number] = now
            wire.socket.send(frame(mac_of(number), number, pending[number]))
    ordered = sorted(latency.values()) or [0]
    result = {
        "leased": len(latency),
        "retries": retries,
        "seconds": round(time.monotonic() - begun, 3),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 3),
    }
    print(json.dumps(result))


def main():
    wire, verb, words = Wire(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if verb == "storm":
        return storm(wire, int(words[0]), float(words[1]))
    if verb == "flood":
        for number in range(int(words[0])):
            mac = b"\x52\x54\x09" + struct.pack("!I", number)[1:]
            try:
                wire.socket.send(frame(mac, number, kind(1)))
            except BlockingIOError:
                time.sleep(0.001)
        return None
    mac = bytes.fromhex(words[0].replace(":", ""))
    if verb == "discover":
        reply = wire.ask(mac, kind(1))
    elif verb == "request":
        reply = wire.ask(mac, kind(3) + option(50, socket.inet_aton(words[1])) + option(54, socket.inet_aton(words[2])))
    elif verb == "reboot":
        reply = wire.ask(mac, kind(3) + option(50, socket.inet_aton(words[1])))
    elif verb == "pxe":
        arch = option(93, struct.pack("!H", int(words[2])))
        user = option(77, b"iPXE") if len(words) > 3 else b""
        reply = wire.ask(mac, kind(1) + option(60, words[1].encode()) + arch + user + option(97, b"\0" * 17))
    else:
        sys.exit(__doc__)
    print(json.dumps(reply))


main()
