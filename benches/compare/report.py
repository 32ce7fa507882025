"""Writes the report from the results: medians with their bounds, and each goal with its figure."""

import statistics
from pathlib import Path

from measure import BURST, DNS_RATE, RATE

# What people have to say to the figures: what each step gained, and why a goal was missed. Taken over as it is.
NOTES = Path(__file__).resolve().parents[1] / "notes.md"


class Results:
    """The runs of one whole measurement."""

    def __init__(self, measured):
        self.measured = measured
        self.sizes = measured["sizes"]
        self.runs = measured["runs"]

    def servers(self, service):
        return [server["name"] for server in self.measured["servers"] if server["service"] == service]

    def values(self, service, server, size, *path):
        """This figure of each round that has it."""
        found = []
        for run in self.runs:
            if (run["service"], run["server"], run["size"]) == (service, server, size):
                value = run
                for key in path:
                    value = value.get(key) if isinstance(value, dict) else None
                if value is not None:
                    found.append(value)
        return found

    def median(self, *which):
        values = self.values(*which)
        return statistics.median(values) if values else None


def number(value):
    """As many digits as mean something."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values):
    """The median, and in what bounds."""
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"**{number(statistics.median(values))}** ({number(min(values))} - {number(max(values))})"


def table(results, service, title, cell):
    """A server a line, a size a column."""
    lines = [f"### {title}", "", "| server | " + " | ".join(f"{size:,} hosts" for size in results.sizes) + " |"]
    lines.append("|---" * (len(results.sizes) + 1) + "|")
    rows = [(server, [cell(server, size) for size in results.sizes]) for server in results.servers(service)]
    rows = [(server, cells) for server, cells in rows if any(text != "-" for text in cells)]
    lines += [f"| {server} | " + " | ".join(cells) + " |" for server, cells in rows]
    return [*lines, ""] if rows else []


def plain(results, service, *path):
    return lambda server, size: spread(results.values(service, server, size, *path))


def dhcp_tables(results):
    def load(server, size):
        text = spread(results.values("dhcp", server, size, "load", "per_second"))
        loss = results.values("dhcp", server, size, "load", "loss")
        return f"{text}, {max(loss):.1%} lost" if loss and max(loss) > 0 else text

    def latency(server, size):
        halves = [spread(results.values("dhcp", server, size, "rate", key)) for key in ("p50_us", "p99_us")]
        loss = results.values("dhcp", server, size, "rate", "loss")
        lost = f", {max(loss):.1%} lost" if loss and max(loss) > 0 else ""
        return "-" if halves == ["-", "-"] else " / ".join(halves) + lost

    def burst(server, size):
        times = results.values("dhcp", server, size, "burst", "until_last_ms")
        lost = results.values("dhcp", server, size, "burst", "lost")
        return f"{spread(times)}; lost {spread(lost)}" if times else "-"

    def relay(server, size):
        figures = results.values("dhcp", server, size, "perfdhcp")
        if not figures:
            return "-"
        last = figures[-1]
        if not last["answered"]:
            return "no answer to a relay"
        rate = last.get("per_second")
        return number(rate) if rate else "over 1 % lost at each rate tried"

    return [
        *table(results, "dhcp", "Exchanges per second, 32 guests in flight", load),
        *table(results, "dhcp", "CPU time of the server per exchange, in microseconds", plain(results, "dhcp", "load", "cpu_us")),
        *table(results, "dhcp", f"Latency at {RATE} exchanges per second, p50 / p99, in microseconds", latency),
        *table(results, "dhcp", f"{BURST:,} guests at once, nobody asks twice: milliseconds until the last ACK; guests lost", burst),
        *table(results, "dhcp", "From exec to the first offer, in milliseconds", plain(results, "dhcp", "first_answer_ms")),
        *memory_tables(results, "dhcp"),
        *table(results, "dhcp", "`perfdhcp` as a relay: exchanges per second at under 1 % loss (one round)", relay),
        *table(results, "dhcp", "The driver's own CPU time per exchange, in microseconds", plain(results, "dhcp", "load", "driver_cpu_us")),
    ]


def memory_tables(results, service):
    def cell(server, size):
        parts = [results.median(service, server, size, when, "rss") for when in ("memory_start", "memory_load")]
        parts += [results.median(service, server, size, "memory_load", what) for what in ("pss", "private")]
        return "-" if parts[0] is None else " / ".join(map(number, parts))

    return table(results, service, "Memory in MiB: resident at the start, then after the load resident / proportional / private", cell)


def dns_tables(results):
    lines = []
    for kind in ("A", "PTR"):
        lines += table(results, "dns", f"{kind}: queries per second", plain(results, "dns", kind, "per_second"))
        lines += table(results, "dns", f"{kind}: CPU time of the server per query, in microseconds", plain(results, "dns", kind, "cpu_us"))

        def latency(server, size, kind=kind):
            halves = [spread(results.values("dns", server, size, kind, key)) for key in ("p50_us", "p99_us")]
            return "-" if halves == ["-", "-"] else " / ".join(halves)

        lines += table(results, "dns", f"{kind}: latency at {DNS_RATE:,} queries per second, p50 / p99, in microseconds", latency)
    lines += table(results, "dns", "From exec to the first answer, in milliseconds", plain(results, "dns", "first_answer_ms"))
    return lines + memory_tables(results, "dns")


def goals(results):
    """Each goal: what it is, its figure, and whether it was met; only those whose figures were measured."""
    found = []

    def goal(what, figure, met, unit=""):
        if figure is not None and met is not None:
            found.append((what, f"{number(figure)}{unit}", met))

    def ratio(a, b):
        return a / b if a is not None and b else None

    def at_least(what, figure, bound, unit=""):
        goal(what, figure, figure is not None and figure >= bound, unit)

    def at_most(what, figure, bound, unit=""):
        goal(what, figure, figure is not None and bound is not None and figure <= bound, unit)

    def dhcp(server, size, *path):
        return results.median("dhcp", server, size, *path)

    for size in results.sizes:
        at = f"at {size:,} hosts"
        rate = dhcp("seedbed", size, "load", "per_second")
        at_least(f"DHCP {at}: at least 4.5 times dhcpd", ratio(rate, dhcp("dhcpd", size, "load", "per_second")), 4.5, " times")
        if size == 100:
            at_least(f"DHCP {at}: at least 5 times dnsmasq", ratio(rate, dhcp("dnsmasq", size, "load", "per_second")), 5, " times")
        cpu = dhcp("seedbed", size, "load", "cpu_us")
        at_most(f"CPU per exchange {at}: at most 30 us", cpu, 30, " us")
        at_most(f"CPU per exchange {at}: at most 2.5 times the canned responder", ratio(cpu, dhcp("canned", size, "load", "cpu_us")), 2.5, " times")
        at_most(f"{BURST:,} guests at once {at}: at most 50 ms", dhcp("seedbed", size, "burst", "until_last_ms"), 50, " ms")
        lost = results.values("dhcp", "seedbed", size, "burst", "lost")
        at_most(f"{BURST:,} guests at once {at}: none lost in any round", max(lost) if lost else None, 0, " lost")
        peers = [dhcp(peer, size, "rate", "p50_us") for peer in results.servers("dhcp") if peer not in ("seedbed", "canned")]
        peers = [peer for peer in peers if peer is not None]
        if peers:
            best = min(peers)
            at_most(f"p50 at {RATE}/s {at}: no worse than the best peer ({number(best)} us)", dhcp("seedbed", size, "rate", "p50_us"), best, " us")
        first_goals(results, size, at, at_most)
        dns_goals(results, size, at, at_most, ratio)
    flat_goals(results, at_most, ratio)
    wrong = [run[part][what] for run in results.runs if run["server"] == "seedbed" and run["service"] == "dhcp"
             for part in ("burst", "load", "rate") if part in run for what in ("wrong", "refused")]
    if wrong:
        at_most("every guest got its own address, in all DHCP measurements", sum(wrong), 0, " wrong")
    return found


def first_goals(results, size, at, at_most):
    for bound, of in ((15, 100), (115, 50_000)):
        if size == of:
            at_most(f"start to first answer {at}: at most {bound} ms", results.median("dhcp", "seedbed", size, "first_answer_ms"), bound, " ms")
    for bound, of in ((12, 10_000), (25, 50_000)):
        if size == of:
            figure = results.median("dhcp", "seedbed", size, "memory_load", "rss")
            at_most(f"whole daemon {at}, resident after the load: at most {bound} MiB", figure, bound, " MiB")


def dns_goals(results, size, at, at_most, ratio):
    own = {kind: results.median("dns", "seedbed", size, kind, "cpu_us") for kind in ("A", "PTR")}
    for kind, cpu in own.items():
        knot = results.median("dns", "knot", size, kind, "cpu_us")
        if knot is not None:
            at_most(f"DNS CPU per {kind} query {at}: no more than Knot ({number(knot)} us)", cpu, knot, " us")
    # A tenth is within what such a run scatters.
    at_most(f"DNS {at}: PTR as cheap as A (within a tenth)", ratio(own["PTR"], own["A"]), 1.1, " times")


def flat_goals(results, at_most, ratio):
    """From the smallest size to the largest; a quarter is what the caches of the processor take."""
    if len(results.sizes) < 2:
        return
    few, many = min(results.sizes), max(results.sizes)
    for what, service, path in (
        ("CPU per exchange", "dhcp", ("load", "cpu_us")),
        ("DNS CPU per A query", "dns", ("A", "cpu_us")),
        ("DNS CPU per PTR query", "dns", ("PTR", "cpu_us")),
    ):
        figures = [results.median(service, "seedbed", size, *path) for size in (many, few)]
        at_most(f"{what}: flat in the number of hosts ({few:,} to {many:,}, within a quarter)", ratio(*figures), 1.25, " times")


METHOD = """\
## Method

* Each server runs in a network namespace of its own, behind a bridge; all guests are behind one port of it (a veth pair).
  A server is started anew for each size and round; rounds are interleaved, and each begins with another server.
* The driver (`benches/measure`) sends as real guests do: each frame from its guest's own hardware address, broadcast,
  no broadcast flag, DISCOVER - OFFER - REQUEST - ACK; each address in OFFER and ACK is checked against the registered one. A message
  that is not answered within a second is lost, and its guest begins again; in the burst nobody asks again.
* CPU time is `utime + stime` of the server's process with all its threads (`/proc/PID/stat`), divided by completed
  exchanges or queries. What the kernel does for a frame after it is sent, up to the receiver's queue, is charged to the sender.
* The first answer is timed from before the server is executed, for the last host in the list; it is asked every millisecond,
  or every 64th of the time passed.
* `perfdhcp` plays a relay (another path through a server) and sends at a fixed rate without regard to answers.
* DNS is driven by `dnsperf` (4 clients, one thread, 100 queries outstanding) with 20,000 random registered names. On two
  cores `dnsperf` itself is often the limit of queries per second; compare CPU time.
* Everything a server writes lies in memory (tmpfs), also leases and Seedbed's registry.
* The kernel's settings are those of the machine, also the bounds of the neighbour table{neighbours}; at 10,000 and 50,000 hosts more
  guests are served than the kernel's default of 1,024 has room for.
"""


def document(measured):
    """The whole report."""
    results, machine = Results(measured), measured["machine"]
    lines = ["# Performance", ""]
    lines += [
        "Written by `sudo benches/run` from its measurements (`target/bench/results.json`); not to be edited by hand. Figures are",
        f"medians of {measured['rounds']} rounds (least - most). Measured on {measured['date']} in {measured.get('took_s', 0) // 60} minutes.",
        "",
        f"Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['system']}; "
        f"load average at the start {machine['load']:.1f}. Commit {machine['commit']}, rustc {machine['rustc']}.",
        "",
    ]
    judged = goals(results)
    if judged:
        lines += ["## Goals", "", "| goal | measured | |", "|---|---|---|"]
        lines += [f"| {what} | {figure} | {'met' if met else '**missed**'} |" for what, figure, met in judged]
        lines += [""]
    for title, service, tables in (("DHCP", "dhcp", dhcp_tables), ("DNS", "dns", dns_tables)):
        if results.servers(service):
            lines += [f"## {title}", "", *tables(results)]
    failed = [f"* {run['service']} {run['server']} at {run['size']:,} hosts, round {run['round'] + 1}: {run['failed'].splitlines()[0]}"
              for run in results.runs if "failed" in run]
    if failed:
        lines += ["## Measurements that failed", "", *failed, ""]
    if NOTES.exists():
        lines += [NOTES.read_text().rstrip(), ""]
    neighbours = f" (`gc_thresh3`: {machine['neighbours']:,})" if machine["neighbours"] else ""
    lines += [METHOD.format(neighbours=neighbours), "## How each server was configured", "", "| server | version | configuration |", "|---|---|---|"]
    lines += [f"| {s['name']} ({s['service'].upper()}) | {s['version']} | {s['setup']} |" for s in measured["servers"]]
    return "\n".join(lines) + "\n"
