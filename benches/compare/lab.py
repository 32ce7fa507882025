"""Where a server is measured: a namespace with a bridge, one for its guests, and processes that end with them."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BRIDGE = "br0"
GUESTS = "guest0"
GATEWAY = "10.64.0.1"
CLIENT = "10.64.0.2"
PREFIX = 12
NETWORK = "10.64.0.0"
NETMASK = "255.240.0.0"
# The server's own address where the guests' network is one behind a relay.
BEYOND = "10.80.0.1"

# No server is to spend its time on a log; those that insist on syslog find nobody there.
QUIET = 'log=$(readlink -f /dev/log) && [ -S "$log" ] && mount --bind /dev/null "$log"; exec "$@"'


class Failed(Exception):
    """A command or server that did not do what the measurement needs; the text says which, and what it said."""


def run(*words, **options):
    """Runs a command to its end; its standard output."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Lab:
    """Two namespaces joined by a veth pair, and a directory in memory. All of it goes at the end."""

    count = 0

    def __init__(self, measure):
        Lab.count += 1
        self.measure = measure
        self.server = f"sbb-{os.getpid()}-{Lab.count}s"
        self.guests = f"sbb-{os.getpid()}-{Lab.count}g"
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._directory = tempfile.TemporaryDirectory(prefix="seedbed-bench-", dir=memory)
        self.directory = Path(self._directory.name)
        self.directory.chmod(0o711)
        self._keepers = []

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def _make(self):
        for name in (self.server, self.guests):
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
            run("ip", "-n", name, "link", "set", "lo", "up")
        inside = ("ip", "-n", self.server)
        run(*inside, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        # Fixed: a bridge without an address of its own takes that of a port.
        run(*inside, "link", "set", BRIDGE, "address", "02:5b:ff:00:00:01", "up")
        run(*inside, "addr", "add", f"{GATEWAY}/{PREFIX}", "dev", BRIDGE)
        run(*inside, "link", "add", "port0", "type", "veth", "peer", "name", GUESTS, "netns", self.guests)
        run(*inside, "link", "set", "port0", "master", BRIDGE, "up")
        run("ip", "-n", self.guests, "addr", "add", f"{CLIENT}/{PREFIX}", "dev", GUESTS)
        run("ip", "-n", self.guests, "link", "set", GUESTS, "up")

    def put_behind_relay(self):
        """The bridge has another network's address, and the guests' network is reached through CLIENT, its relay."""
        inside = ("ip", "-n", self.server)
        run(*inside, "addr", "flush", "dev", BRIDGE)
        run(*inside, "addr", "add", f"{BEYOND}/{PREFIX}", "dev", BRIDGE)
        run(*inside, "route", "add", f"{NETWORK}/{PREFIX}", "dev", BRIDGE)
        run("ip", "-n", self.guests, "route", "add", BEYOND, "dev", GUESTS)

    def plug(self, rows):
        """Each of these hosts gets a port of its own, with its name, and its hardware and IPv4 address."""
        # They are one machine to the kernel, and must not answer for each other.
        settings = ("all/arp_ignore=1", "all/arp_announce=2", "all/rp_filter=0", "default/rp_filter=0")
        for path, _, value in (setting.partition("=") for setting in settings):
            self.from_guests("sh", "-c", f"echo {value} >/proc/sys/net/ipv4/conf/{path}")
        for name, mac, ip in rows:
            peer = ("peer", "name", name, "address", mac, "netns", self.guests)
            run("ip", "-n", self.server, "link", "add", f"port-{name}", "type", "veth", *peer)
            run("ip", "-n", self.server, "link", "set", f"port-{name}", "master", BRIDGE, "up")
            run("ip", "-n", self.guests, "addr", "add", f"{ip}/{PREFIX}", "dev", name)
            run("ip", "-n", self.guests, "link", "set", name, "up")

    def _remove(self):
        for keeper in self._keepers:
            with contextlib.suppress(Exception):
                keeper.stop()
        for name in (self.server, self.guests):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        self._directory.cleanup()

    def start(self, hosts, probe, command, environment=None):
        """Starts a server, and waits for its first answer to a probe: words for the measuring program."""
        server = Server(self, hosts, probe, command, environment)
        self._keepers.append(server)
        return server.started()

    def from_guests(self, *words, **options):
        """Runs a command on the guests' side; its standard output."""
        return run("ip", "netns", "exec", self.guests, *words, **options)

    def drive(self, hosts, *words):
        """Runs guests; what came of it."""
        mode, *options = words
        out = self.from_guests(self.measure, "--hosts", str(hosts), mode, "--interface", GUESTS, *options)
        return json.loads(out)

    def fetch(self, hosts, path, *words):
        """Guests that read a document, each by its own port; what came of it."""
        out = self.from_guests(self.measure, "--hosts", str(hosts.csv), "http", "--server", GATEWAY, "--path", path, *words)
        return json.loads(out)

    def names(self, hosts):
        """Asks for the address and the name of some hundreds of hosts; how many were right."""
        some = str(min(hosts.count, 2_000))
        out = self.from_guests(self.measure, "--hosts", str(hosts.csv), "--only", some, "names", "--server", GATEWAY)
        return json.loads(out)


def probe(service, path):
    """What a starting server of a service is asked for."""
    words = {
        "dhcp": ["--interface", GUESTS],
        "dns": ["--dns", GATEWAY],
        "http": ["--http", GATEWAY, "--path", path],
    }
    return words[service]


class Server:
    """A server process, kept by the measuring program: it ends when its standard input does, so also with us."""

    def __init__(self, lab, hosts, probe, command, environment):
        self.log = lab.directory / "server.log"
        self.command = command
        words = ["ip", "netns", "exec", lab.server, "sh", "-c", QUIET, "sh"]
        words += [lab.measure, "--hosts", str(hosts), "start", "--guests", lab.guests]
        words += probe
        with open(self.log, "wb") as log:
            self.keeper = subprocess.Popen(
                words + ["--", *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=lab.directory,
                env={**os.environ, **(environment or {})},
            )

    def started(self):
        line = self.keeper.stdout.readline()
        if not line:
            self.keeper.wait()
            raise Failed(f"{' '.join(map(str, self.command))} did not start:\n{self.log.read_text()[-3000:]}")
        told = json.loads(line)
        self.pid, self.first_answer_ms = told["pid"], told["first_answer_ms"]
        return self

    def cpu(self):
        """Seconds of CPU that all its threads have used, in steps of a tick."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle(self):
        """Waits until it has worked off what was asked before: the next measurement finds every server at rest."""
        for _ in range(100):
            before = self.cpu()
            time.sleep(0.05)
            if self.cpu() == before:
                return

    @contextlib.contextmanager
    def profiled(self, report):
        """Samples where its CPU time goes meanwhile, and writes the functions by their share; None does nothing."""
        if report is None:
            yield
            return
        samples = self.log.with_name("perf.data")
        recorder = subprocess.Popen(
            ["perf", "record", "--quiet", "-F", "1999", "-p", str(self.pid), "-o", str(samples)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            recorder.send_signal(signal.SIGINT)
            recorder.wait(timeout=30)
        told = run("perf", "report", "--stdio", "--no-children", "--percent-limit", "0.3", "-i", str(samples))
        report.write_text("\n".join(line.rstrip() for line in told.splitlines()) + "\n")

    def memory(self):
        """MiB: resident, proportional and private."""
        sizes = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            sizes[key] = int(rest.split()[0]) / 1024
        private = sizes["Private_Clean"] + sizes["Private_Dirty"]
        return {"rss": sizes["Rss"], "pss": sizes["Pss"], "private": private}

    def stop(self):
        """Ends it, and waits until it has ended."""
        if self.keeper.stdin.closed:
            return
        self.keeper.stdin.close()
        self.keeper.stdout.close()
        try:
            self.keeper.wait(timeout=10)
        except subprocess.TimeoutExpired:
            for pid in (getattr(self, "pid", None), self.keeper.pid):
                if pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self.keeper.wait()
