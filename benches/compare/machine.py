"""The machine that was measured on, and what of it matters."""

import os
import platform
import re
from pathlib import Path

from lab import Failed, run


def describe(root):
    """Facts for the report's head."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal: +(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    threshold = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20, 1),
        "kernel": platform.release(),
        "system": release[1] if release else "unknown",
        "neighbours": int(threshold.read_text()) if threshold.exists() else None,
        "load": os.getloadavg()[0],
        "commit": commit(root),
        "rustc": version(root),
    }


def commit(root):
    """Of the checkout, and whether it was changed since; a checkout without git has none."""
    try:
        describe = ("describe", "--always", "--dirty", "--abbrev=12")
        # (Root may look into a user's checkout.)
        return run("git", "-c", "safe.directory=*", "-C", str(root), *describe).strip()
    except (Failed, OSError):
        return "unknown"


def version(root):
    """Of the compiler that built the release, as cargo noted it."""
    note = root / "target" / ".rustc_info.json"
    found = re.search(r"rustc (\d+\.\d+\.\d+)", note.read_text()) if note.exists() else None
    return found[1] if found else "unknown"
