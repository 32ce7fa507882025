"""Writes the report from the results: medians with their bounds, and each goal with its figure."""

from pathlib import Path

from goals import Goals
from measure import BURST, DNS_RATE, RATE
from results import Results, number, spread

# What people have to say to the figures: what each step gained, and why a goal was missed. Taken over as it is.
NOTES = Path(__file__).resolve().parents[1] / "notes.md"


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


CPU = "CPU time of the server"
QUANTILES = "p50 / p99, in microseconds"
MEMORY = "Memory in MiB: resident at the start; after the load resident / proportional / private"


def dhcp_tables(results):
    driver = plain(results, "dhcp", "load", "driver_cpu_us")

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
        *table(results, "dhcp", f"{CPU} per exchange, in microseconds", plain(results, "dhcp", "load", "cpu_us")),
        *table(results, "dhcp", f"Latency at {RATE} exchanges per second, {QUANTILES}", latency),
        *table(results, "dhcp", f"{BURST:,} guests at once: milliseconds until the last ACK; guests lost", burst),
        *table(results, "dhcp", "From exec to the first offer, in milliseconds", plain(results, "dhcp", "first_answer_ms")),
        *memory_tables(results, "dhcp"),
        *table(results, "dhcp", "`perfdhcp` as a relay: exchanges per second at under 1 % loss (one round)", relay),
        *table(results, "dhcp", "The driver's own CPU time per exchange, in microseconds", driver),
    ]


def memory_tables(results, service):
    def cell(server, size):
        parts = [results.median(service, server, size, when, "rss") for when in ("memory_start", "memory_load")]
        parts += [results.median(service, server, size, "memory_load", what) for what in ("pss", "private")]
        return "-" if parts[0] is None else f"{number(parts[0])}; " + " / ".join(map(number, parts[1:]))

    return table(results, service, MEMORY, cell)


def dns_tables(results):
    lines = []
    for kind in ("A", "PTR"):

        def latency(server, size, kind=kind):
            halves = [spread(results.values("dns", server, size, kind, key)) for key in ("p50_us", "p99_us")]
            return "-" if halves == ["-", "-"] else " / ".join(halves)

        lines += table(results, "dns", f"{kind}: queries per second", plain(results, "dns", kind, "per_second"))
        lines += table(results, "dns", f"{kind}: {CPU} per query, in microseconds", plain(results, "dns", kind, "cpu_us"))
        lines += table(results, "dns", f"{kind}: latency at {DNS_RATE:,} queries per second, {QUANTILES}", latency)
    first = plain(results, "dns", "first_answer_ms")
    return [
        *lines,
        *table(results, "dns", "From exec to the first answer, in milliseconds", first),
        *memory_tables(results, "dns"),
    ]


def http_tables(results):
    lines = []
    for how, where in (("fresh", "A new connection for each request"), ("kept", "On connections that are kept")):

        def latency(server, size, how=how):
            halves = [spread(results.values("http", server, size, how, key)) for key in ("p50_us", "p99_us")]
            return "-" if halves == ["-", "-"] else " / ".join(halves)

        def load(server, size, how=how):
            lost = sum(results.values("http", server, size, how, "lost"))
            text = spread(results.values("http", server, size, how, "per_second"))
            return f"{text}, {lost:,} lost in all" if lost else text

        cpu = plain(results, "http", how, "cpu_us")
        lines += table(results, "http", f"{where}: requests per second", load)
        lines += table(results, "http", f"{where}: {CPU} per request, in microseconds", cpu)
        lines += table(results, "http", f"{where}: latency, {QUANTILES}", latency)
    first = plain(results, "http", "first_answer_ms")
    return [
        *lines,
        *table(results, "http", "From exec to the first document, in milliseconds", first),
        *memory_tables(results, "http"),
    ]


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
* HTTP is asked for by eight guests with two connections each, from ports of the bridge of their own, with their own
  hardware and IPv4 addresses: a `GET` as cloud-init sends it, whose answer has to be 200 and to have the guest's name in it.
* Everything a server writes lies in memory (tmpfs), also leases and Seedbed's registry.
* The kernel's settings are those of the machine, also the bounds of the neighbour table{neighbours}; at 10,000 and 50,000 hosts more
  guests are served than the kernel's default of 1,024 has room for.
"""


def document(measured):
    """The whole report."""
    results, machine = Results(measured), measured["machine"]
    lines = [*head(measured, machine)]
    judged = Goals(results).judge()
    if judged:
        lines += ["## Goals", "", "| goal | measured | |", "|---|---|---|"]
        lines += [f"| {what} | {figure} | {'met' if met else '**missed**'} |" for what, figure, met in judged]
        lines += [""]
    if NOTES.exists():
        lines += [NOTES.read_text().rstrip(), ""]
    for service, tables in (("dhcp", dhcp_tables), ("dns", dns_tables), ("http", http_tables)):
        if results.servers(service):
            lines += [f"## {service.upper()}", "", *tables(results)]
    lines += failures(results)
    neighbours = f" (`gc_thresh3`: {machine['neighbours']:,})" if machine["neighbours"] else ""
    lines += [METHOD.format(neighbours=neighbours)]
    lines += ["## How each server was configured", "", "| server | version | configuration |", "|---|---|---|"]
    lines += [f"| {s['name']} ({s['service'].upper()}) | {s['version']} | {s['setup']} |" for s in measured["servers"]]
    return "\n".join(lines) + "\n"


def head(measured, machine):
    rounds = f"medians of {measured['rounds']} rounds (least - most)" if measured["rounds"] > 1 else "those of one round"
    return [
        "# Performance",
        "",
        "Written by `sudo benches/run` from its measurements (`target/bench/`); not to be edited by hand. Figures are",
        f"{rounds}. Measured on {measured['date']} in {measured['took_s'] / 60:.0f} minutes.",
        "",
        f"Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']},",
        f"{machine['system']}; load average at the start {machine['load']:.1f}. Commit {machine['commit']}, rustc {machine['rustc']}.",
        "",
    ]


def failures(results):
    failed = [
        f"* {run['service']} {run['server']} at {run['size']:,} hosts, round {run['round'] + 1}: {run['failed'].splitlines()[0]}"
        for run in results.runs
        if "failed" in run
    ]
    return ["## Measurements that failed", "", *failed, ""] if failed else []
