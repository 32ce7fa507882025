"""Measures Seedbed beside its peers: see benches/run, which installs and builds what this needs."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import signal
import sys
import time
from pathlib import Path

import dhcp
import dns
import machine
import measure
import report
import web
from hosts import Hosts
from lab import Failed, Lab, probe

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "bench"
QUICK = ("seedbed", "canned")


@dataclasses.dataclass(frozen=True)
class Programs:
    """What is measured, and what measures."""

    seedbed: str
    measure: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long each measurement takes, in seconds, and which are made."""

    seconds: float
    rate_seconds: float
    dns_seconds: float
    dns_rate_seconds: float
    http_seconds: float
    only_start: bool = False
    burst: bool = True
    perfdhcp: bool = False
    # Whether a lost guest is a failure, not a figure.
    strict: bool = False
    # Where to write what a profiler saw.
    profile: Path | None = None


def arguments():
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sizes")
    parser.add_argument("--only", action="append", choices=["dhcp", "dns", "http", "start"])
    parser.add_argument("--servers")
    parser.add_argument("--programs", type=Path, default=ROOT / "target" / "release")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    given.whole = not (given.quick or given.only or given.servers or given.sizes or given.profile)
    given.sizes = [int(size) for size in (given.sizes or ("100 10000" if given.quick else "100 10000 50000")).split()]
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.servers = given.servers.split() if given.servers else list(QUICK) if given.quick else None
    if given.profile:
        given.servers, given.rounds = ["seedbed"], 1
    return given


def main():
    given = arguments()
    # So that what was made is removed also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    results = OUTPUT / ("quick.json" if given.quick else "results.json" if given.whole else "partial.json")
    if not given.report:
        measured = everything(given)
        results.write_text(json.dumps(measured, indent=1) + "\n")
    if given.quick:
        print("every address and name was right, and no guest was lost")
        return
    measured = json.loads(results.read_text())
    document = ROOT / "docs" / "performance.md" if measured["whole"] else OUTPUT / "performance.md"
    document.write_text(report.document(measured))
    print(f"wrote {document.relative_to(ROOT)} from {results.relative_to(ROOT)}")
    failed = sum("failed" in run for run in measured["runs"])
    if failed:
        raise Failed(f"{failed} of {len(measured['runs'])} measurements failed; they are named above and in the report")


def hand_over():
    """Gives what root wrote into a user's checkout to that user."""
    owner = ROOT.stat()
    for path in (OUTPUT, *OUTPUT.rglob("*"), ROOT / "docs" / "performance.md"):
        if path.exists():
            os.chown(path, owner.st_uid, owner.st_gid)


def everything(given):
    """All rounds; the results as they are kept."""
    built = given.programs.resolve()
    programs = Programs(str(built / "seedbed"), str(built / "examples" / "measure"))
    for program in (programs.seedbed, programs.measure):
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not there; run benches/run without --programs, or build it")
    modules = {"dhcp": dhcp, "dns": dns, "http": web}
    kinds = [(service, kind(programs)) for service, module in modules.items() for kind in module.KINDS]
    if given.servers:
        kinds = [(service, kind) for service, kind in kinds if kind.name in given.servers]
    services = [service for service in given.only or [] if service != "start"]
    if services:
        kinds = [(service, kind) for service, kind in kinds if service in services]
    sizes = [Hosts(count, OUTPUT) for count in given.sizes]
    measured = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "whole": given.whole,
        "rounds": given.rounds,
        "sizes": given.sizes,
        "machine": machine.describe(ROOT),
        "servers": [
            {"service": service, "name": kind.name, "version": kind.version(), "setup": kind.setup}
            for service, kind in kinds
        ],
        "runs": [],
    }
    if measured["machine"]["load"] > 0.5 and not given.quick:
        load = f"load average {measured['machine']['load']:.1f}"
        print(f"warning: this machine is busy ({load}); the figures will be too", file=sys.stderr)
    began = time.monotonic()
    slow = set()
    for turn in range(given.rounds):
        for hosts in sizes:
            # Each round begins with another server, so that none always comes after the same.
            shift = turn % len(kinds)
            for service, kind in kinds[shift:] + kinds[:shift]:
                this = plan(given, kind.name, turn, (kind.name, hosts.count) in slow)
                try:
                    figures = one(programs, service, kind, hosts, this)
                except Failed as failure:
                    # A run of many minutes is not thrown away for one server; the report says which failed.
                    if given.quick:
                        raise
                    print(f"error: {failure}", file=sys.stderr)
                    figures = {"failed": str(failure)}
                if figures.get("burst", {}).get("seconds", 0) > 1:
                    slow.add((kind.name, hosts.count))
                measured["runs"].append(
                    {"service": service, "server": kind.name, "size": hosts.count, "round": turn, **figures}
                )
    measured["took_s"] = round(time.monotonic() - began)
    return measured


def plan(given, name, turn, slow):
    only_start = given.only == ["start"]
    if given.quick:
        return Plan(1.0, 0.5, 0.5, 0.5, 0.5, only_start, strict=True)
    if given.profile:
        return Plan(3.0, 0.5, 3.0, 0.5, 3.0, profile=OUTPUT)
    # A burst that took longer than a second shows as much in two rounds as in five.
    return Plan(1.5, 1.0, 0.8, 0.5, 1.0, only_start, burst=not slow or turn < 2, perfdhcp=turn == 0 and name != "canned")


def one(programs, service, kind, hosts, this):
    with Lab(programs.measure) as lab:
        kind.prepare(hosts, lab.directory)
        command, environment = kind.command(hosts, lab.directory), kind.environment(lab.directory)
        if service == "http":
            lab.plug(hosts.guests)
        server = lab.start(hosts.csv, probe(service, kind.path), command, environment)
        if service == "http":
            figures = measure.http(lab, server, hosts, this, kind.path)
        else:
            figures = {"dhcp": measure.dhcp, "dns": measure.dns}[service](lab, server, hosts, this)
        if this.perfdhcp and "load" in figures:
            with kind.relayed(lab, hosts) as (where, address):
                guess = figures["load"]["per_second"]
                figures["perfdhcp"] = measure.perfdhcp(where, address, hosts, guess)
        server.stop()
    if this.strict:
        measure.check(service, kind.name, hosts, figures)
    print(line(service, kind.name, hosts.count, figures), flush=True)
    measure.settle()
    return figures


def line(service, name, size, figures):
    """One measurement, for whoever watches."""
    shown = [f"{service:4} {name:8} {size:6}  first answer {figures['first_answer_ms']:8.1f} ms"]
    shown.append(f"{figures['memory_start']['rss']:6.1f} MiB")
    if "load" in figures:
        load, rate = figures["load"], figures["rate"]
        shown.append(f"{load['per_second']:8.0f}/s {load['cpu_us']:7.1f} us ({load['lost']} lost)")
        shown.append(f"p50 {rate['p50_us']:.0f} us")
        shown.append(f"driver {load['driver_cpu_us']:.1f} us")
    if "burst" in figures:
        shown.append(f"burst {figures['burst']['until_last_ms']:.0f} ms, {figures['burst']['lost']} lost")
    if "names" in figures:
        shown.append(f"{figures['names']['right']} names right, {figures['names']['wrong']} wrong")
    for kind in ("A", "PTR"):
        if kind in figures:
            shown.append(f"{kind} {figures[kind]['per_second']:.0f}/s {figures[kind]['cpu_us']:.1f} us")
    for how in ("fresh", "kept"):
        if how in figures:
            shown.append(f"{how} {figures[how]['per_second']:.0f}/s {figures[how]['cpu_us']:.1f} us")
    if figures.get("perfdhcp", {}).get("answered"):
        shown.append(f"perfdhcp {figures['perfdhcp']['per_second']}")
    return "  ".join(shown)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        hand_over()
