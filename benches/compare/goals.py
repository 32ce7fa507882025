"""What was wanted, each with its figure: met or missed. A goal whose figures were not measured is left out."""

from measure import BURST, RATE
from results import number

# How far two figures of one run may be apart and still be called the same.
FLAT = 1.25
# How much of the CPU time of a server of static files a request on a kept connection may cost.
KEPT = 0.85
AS_CHEAP = 1.1


class Goals:
    """The goals judged so far, as (what, figure, met)."""

    def __init__(self, results):
        self.results = results
        self.judged = []

    def judge(self):
        for size in self.results.sizes:
            self._throughput(size)
            self._cpu(size)
            self._burst(size)
            self._latency(size)
            self._start_and_memory(size)
            self._dns(size)
            self._http(size)
        self._flat()
        self._right()
        return self.judged

    def _at_least(self, what, figure, bound, unit=""):
        if figure is not None:
            self.judged.append((f"{what}: at least {number(bound)}{unit}", number(figure) + unit, figure >= bound))

    def _at_most(self, what, figure, bound, unit=""):
        if figure is not None and bound is not None:
            self.judged.append((f"{what}: at most {number(bound)}{unit}", number(figure) + unit, figure <= bound))

    def _dhcp(self, server, size, *path):
        return self.results.median("dhcp", server, size, *path)

    def _throughput(self, size):
        own = self._dhcp("seedbed", size, "load", "per_second")
        for peer, times in (("dhcpd", 4.5), ("dnsmasq", 5)) if size == 100 else (("dhcpd", 4.5),):
            theirs = self._dhcp(peer, size, "load", "per_second")
            self._at_least(f"DHCP exchanges per second at {size:,} hosts, against {peer}", ratio(own, theirs), times, " times")
        lost = self.results.values("dhcp", "seedbed", size, "load", "loss")
        self._at_most(f"messages lost under load at {size:,} hosts, in the worst round", worst(lost, 100), 1, " %")
        bound = self.results.values("dhcp", "seedbed", size, "load", "bound")
        if size > 1024 and bound:
            what = f"different guests served at {size:,} hosts, beyond the neighbour table's 1,024"
            self._at_least(what, min(size, *bound), 1025)

    def _cpu(self, size):
        own = self._dhcp("seedbed", size, "load", "cpu_us")
        self._at_most(f"CPU time per exchange at {size:,} hosts", own, 30, " us")
        floor = self._dhcp("canned", size, "load", "cpu_us")
        self._at_most(f"the same against the canned responder at {size:,} hosts", ratio(own, floor), 2.5, " times")

    def _burst(self, size):
        what = f"{BURST:,} guests at once at {size:,} hosts"
        self._at_most(f"{what}, until the last ACK", self._dhcp("seedbed", size, "burst", "until_last_ms"), 50, " ms")
        lost = self.results.values("dhcp", "seedbed", size, "burst", "lost")
        self._at_most(f"{what}, lost in the worst round", worst(lost), 0)

    def _latency(self, size):
        peers = [name for name in self.results.servers("dhcp") if name not in ("seedbed", "canned")]
        theirs = [self._dhcp(peer, size, "rate", "p50_us") for peer in peers]
        theirs = [figure for figure in theirs if figure is not None]
        own = self._dhcp("seedbed", size, "rate", "p50_us")
        what = f"p50 at {RATE} exchanges per second at {size:,} hosts (the best peer's)"
        self._at_most(what, own, min(theirs, default=None), " us")

    def _start_and_memory(self, size):
        first = {100: 15, 50_000: 115}.get(size)
        self._at_most(f"start to first answer at {size:,} hosts", self._dhcp("seedbed", size, "first_answer_ms"), first, " ms")
        most = {10_000: 12, 50_000: 25}.get(size)
        used = self._dhcp("seedbed", size, "memory_load", "rss")
        self._at_most(f"the whole daemon, resident after the load at {size:,} hosts", used, most, " MiB")

    def _dns(self, size):
        own = {kind: self.results.median("dns", "seedbed", size, kind, "cpu_us") for kind in ("A", "PTR")}
        for kind, cpu in own.items():
            knot = self.results.median("dns", "knot", size, kind, "cpu_us")
            self._at_most(f"CPU time per {kind} query at {size:,} hosts (Knot's)", cpu, knot, " us")
        self._at_most(f"PTR against A at {size:,} hosts, CPU time", ratio(own["PTR"], own["A"]), AS_CHEAP, " times")

    def _http(self, size):
        for how, what, share in (("fresh", "request on a new connection", 1), ("kept", "request on a kept connection", KEPT)):
            own, theirs = (self.results.median("http", name, size, how, "cpu_us") for name in ("seedbed", "nginx"))
            self._at_most(f"CPU time per HTTP {what} at {size:,} hosts, against nginx", ratio(own, theirs), share, " times")

    def _flat(self):
        few, many = min(self.results.sizes), max(self.results.sizes)
        if few == many:
            return
        for what, service, path in (
            ("CPU time per exchange", "dhcp", ("load", "cpu_us")),
            ("CPU time per A query", "dns", ("A", "cpu_us")),
            ("CPU time per PTR query", "dns", ("PTR", "cpu_us")),
            ("CPU time per HTTP request on a new connection", "http", ("fresh", "cpu_us")),
        ):
            at_few, at_many = (self.results.median(service, "seedbed", size, *path) for size in (few, many))
            self._at_most(f"{what}, flat: {many:,} hosts against {few:,}", ratio(at_many, at_few), FLAT, " times")

    def _right(self):
        wrong = [
            run[part]["wrong"] + run[part]["refused"]
            for run in self.results.runs
            if run["server"] == "seedbed" and run["service"] == "dhcp"
            for part in ("burst", "load", "rate")
            if part in run
        ]
        self._at_most("guests given another's address, or refused, in all measurements", sum(wrong) if wrong else None, 0)
        dns = [run for run in self.results.runs if run["server"] == "seedbed" and run["service"] == "dns"]
        wrong = [run["names"]["wrong"] + run["names"]["lost"] for run in dns if "names" in run]
        wrong += [run[kind]["unanswered"] for run in dns for kind in ("A", "PTR") if kind in run]
        self._at_most("DNS questions answered wrongly, in all measurements", sum(wrong) if wrong else None, 0)
        http = [run for run in self.results.runs if run["server"] == "seedbed" and run["service"] == "http"]
        wrong = [run[how]["wrong"] + run[how]["lost"] for run in http for how in ("fresh", "kept") if how in run]
        self._at_most("HTTP requests answered wrongly or not at all, in all measurements", sum(wrong) if wrong else None, 0)


def ratio(a, b):
    return a / b if a is not None and b else None


def worst(values, scale=1):
    return max(values) * scale if values else None
