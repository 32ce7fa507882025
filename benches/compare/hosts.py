"""The registered hosts of each size: one list that every server's configuration, query and check is made of."""

import random
from pathlib import Path

DOMAIN = "lab"
# How many guests have a port of their own, where that matters.
GUESTS = 8


class Hosts:
    """So many hosts, as a file of name,mac,ip lines and as rows."""

    def __init__(self, count, directory):
        self.count = count
        self.rows = [self._row(number) for number in range(count)]
        # The last ones, which a server knows only when it knows all.
        self.guests = self.rows[-GUESTS:]
        self.directory = Path(directory)
        self.csv = self._file("hosts", "csv", ["name,mac,ip", *(",".join(row) for row in self.rows)])
        self.macs = self._file("macs", "txt", [mac for _, mac, _ in self.rows])
        # The same questions in each run, far more than any cache of few has room for.
        chosen = random.Random(count).choices(self.rows, k=20_000)
        self.questions = {
            "A": self._file("questions-a", "txt", [f"{name}.{DOMAIN} A" for name, _, _ in chosen]),
            "PTR": self._file("questions-ptr", "txt", [f"{reverse(ip)} PTR" for _, _, ip in chosen]),
        }

    @staticmethod
    def _row(number):
        mac = f"02:5b:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        address = (10 << 24 | 64 << 16 | 1 << 8) + number
        return f"h{number:05}", mac, ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))

    def _file(self, name, extension, lines):
        path = self.directory / f"{name}-{self.count}.{extension}"
        path.write_text("\n".join(lines) + "\n")
        return path


def reverse(ip):
    """The name whose PTR record tells whose address it is."""
    return ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
