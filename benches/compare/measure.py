"""One server at one size: what is asked of it, and the figures of it."""

import re
import time

from lab import CLIENT, GATEWAY, GUESTS, Failed

# A guest that asks again does so after four seconds (RFC 2131 section 4.1): a burst is over by then, or guests are lost.
BURST_PATIENCE_MS = 4_000
BURST = 1_000
RATE = 200
DNS_RATE = 1_000


def dhcp(lab, server, hosts, plan):
    """Starts it; then a burst, as many exchanges as it can, and a low rate."""
    server.idle()
    figures = {"first_answer_ms": server.first_answer_ms, "memory_start": server.memory()}
    if plan.only_start:
        return figures
    if hosts.count >= BURST and plan.burst:
        figures["burst"] = lab.drive(
            hosts.csv, "burst", "--count", str(BURST), "--patience", str(BURST_PATIENCE_MS)
        )
        server.idle()
    before = server.cpu()
    with server.profiled(plan.profile and plan.profile / f"profile-dhcp-{hosts.count}.txt"):
        load = lab.drive(hosts.csv, "throughput", "--in-flight", "32", "--seconds", str(plan.seconds))
    load["cpu_us"] = (server.cpu() - before) * 1e6 / max(load["bound"], 1)
    figures["load"] = load
    server.idle()
    figures["rate"] = lab.drive(hosts.csv, "rate", "--per-second", str(RATE), "--seconds", str(plan.rate_seconds))
    figures["memory_load"] = server.memory()
    return figures


def perfdhcp(lab, server, hosts, guess):
    """The highest rate, of a few tried from above, at which perfdhcp as a relay misses under 1 % of its exchanges."""
    tried = []
    if _perfdhcp(lab, server, hosts, 100)["completed"] == 0:
        return {"answered": False, "tried": tried}
    for share in (1.2, 0.9, 0.7, 0.5, 0.3):
        # Beyond what it can send on this size of machine there is nothing to be seen.
        figure = _perfdhcp(lab, server, hosts, int(min(guess, 20_000) * share) or 1)
        tried.append(figure)
        if figure["loss"] < 0.01:
            return {"answered": True, "per_second": figure["completed"], "loss": figure["loss"], "tried": tried}
    return {"answered": True, "per_second": None, "tried": tried}


def _perfdhcp(lab, server, hosts, rate):
    """One second at this rate, and some time for the last answers."""
    words = ["perfdhcp", "-4", "-l", CLIENT, "-r", str(rate), "-p", "1", "-W", "200000"]
    words += ["-M", str(hosts.macs), "-R", str(hosts.count), "-d", "1", server]
    # It ends with 3 when some exchanges were not completed; that is a figure, not a failure.
    out = lab.from_guests("sh", "-c", '"$@"; code=$?; [ $code = 3 ] || exit $code', "sh", *words)
    counted = {}
    for section in out.split("***Statistics for: ")[1:]:
        sent, received = (int(re.search(rf"{what} packets: (\d+)", section)[1]) for what in ("sent", "received"))
        counted[section.split("*")[0]] = sent, received
    sent, _ = counted["DISCOVER-OFFER"]
    _, completed = counted["REQUEST-ACK"]
    return {"asked": rate, "sent": sent, "completed": completed, "loss": 1 - completed / max(sent, 1)}


def dns(lab, server, hosts, plan):
    """Starts it; then A and PTR questions, as many as it can answer and at a low rate."""
    server.idle()
    figures = {"first_answer_ms": server.first_answer_ms, "memory_start": server.memory()}
    if plan.only_start:
        return figures
    figures["names"] = lab.names(hosts)
    if plan.strict:
        return figures
    for kind, questions in hosts.questions.items():
        server.idle()
        before = server.cpu()
        asked = ["dnsperf", "-s", GATEWAY, "-d", str(questions), "-l", str(plan.dns_seconds)]
        with server.profiled(plan.profile and plan.profile / f"profile-dns-{kind.lower()}-{hosts.count}.txt"):
            load = _dnsperf(lab.from_guests(*asked, "-c", "4", "-T", "1", "-q", "100"))
        load["cpu_us"] = (server.cpu() - before) * 1e6 / max(load["completed"], 1)
        server.idle()
        figures[kind] = {**load, **_latencies(lab, questions, plan)}
    figures["memory_load"] = server.memory()
    return figures


def _dnsperf(out):
    completed, lost = (int(re.search(rf"Queries {what}: +(\d+)", out)[1]) for what in ("completed", "lost"))
    right = re.search(r"NOERROR (\d+)", out)
    return {
        "completed": completed,
        "lost": lost,
        "unanswered": completed - int(right[1] if right else 0),
        "per_second": float(re.search(r"Queries per second: +([\d.]+)", out)[1]),
    }


def _latencies(lab, questions, plan):
    words = ["dnsperf", "-v", "-s", GATEWAY, "-d", str(questions), "-l", str(plan.dns_rate_seconds)]
    out = lab.from_guests(*words, "-Q", str(DNS_RATE), "-c", "1", "-T", "1")
    times = sorted(float(line.split()[-1]) * 1e6 for line in out.splitlines() if line.startswith("> NOERROR"))
    if not times:
        return {"p50_us": None, "p99_us": None}
    return {"p50_us": times[len(times) // 2], "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)]}


def http(lab, server, hosts, plan, path):
    """Starts it; then guests that read a document, on a new connection each time, as they do, and on connections kept."""
    server.idle()
    figures = {"first_answer_ms": server.first_answer_ms, "memory_start": server.memory()}
    if plan.only_start:
        return figures
    for how, words in (("fresh", []), ("kept", ["--keep"])):
        server.idle()
        before = server.cpu()
        with server.profiled(plan.profile and plan.profile / f"profile-http-{how}-{hosts.count}.txt"):
            load = lab.fetch(hosts, path, *words, "--seconds", str(plan.http_seconds))
        load["cpu_us"] = (server.cpu() - before) * 1e6 / max(load["right"], 1)
        figures[how] = load
    figures["memory_load"] = server.memory()
    return figures


def check(service, server, hosts, figures):
    """What must hold on every machine, however slow: nobody lost, and nobody given another's address."""
    where = f"{server} {service} at {hosts.count} hosts"
    for part in ("burst", "load", "rate"):
        for what in ("wrong", "refused", "lost", "unserved"):
            if figures.get(part, {}).get(what):
                raise Failed(f"{where}: {figures[part][what]} {what} in `{part}`: {figures[part]}")
        if part in figures and not figures[part]["bound"]:
            raise Failed(f"{where}: nobody was bound in `{part}`")
    for how in ("fresh", "kept"):
        load = figures.get(how, {"right": 1, "wrong": 0, "lost": 0})
        if load["wrong"] or load["lost"] or not load["right"]:
            raise Failed(f"{where}: not every document is right in `{how}`: {load}")
    names = figures.get("names", {"wrong": 0, "lost": 0})
    if names["wrong"] or names["lost"]:
        raise Failed(f"{where}: not every name and address is right: {names}")


def settle():
    """Lets what the last server left (a namespace being taken down) end before the next is timed."""
    time.sleep(0.1)
