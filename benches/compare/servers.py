"""What every server under measurement has in common, and Seedbed and the canned responders themselves."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from hosts import DOMAIN
from lab import BEYOND, BRIDGE, CLIENT, GATEWAY, PREFIX, Failed, Lab, run


class Server:
    """A kind of server: `prepare` writes what it reads into a directory; `command` and `environment` start it there."""

    name = ""
    # How it was configured, for the report.
    setup = ""
    # The document that guests of an HTTP server read; `{ip}` is the guest's address.
    path = ""

    def __init__(self, programs):
        self.programs = programs

    def prepare(self, hosts, directory):
        raise NotImplementedError

    def command(self, hosts, directory):
        raise NotImplementedError

    def environment(self, directory):
        return {}

    def version(self):
        raise NotImplementedError

    @contextlib.contextmanager
    def relayed(self, lab, hosts):
        """Where a relay finds this server: the lab, and the server's address in it. Most take a guest for one."""
        yield lab, GATEWAY


def unconfined(name, directory):
    """A copy of a peer's program: where AppArmor guards the installed path, that would not read our files."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Failed(f"{name} is not installed; benches/run without --quick installs it")
    return Path(shutil.copy2(found, directory))


class Canned(Server):
    """The floor."""

    name = "canned"
    setup = "`benches/measure/canned.rs`: replies made beforehand, found by hash, `recvmmsg` and `sendmmsg`, no rules."

    def prepare(self, hosts, directory):
        pass

    def version(self):
        return "this checkout"


class CannedDhcp(Canned):
    def command(self, hosts, directory):
        return [self.programs.measure, "--hosts", hosts.csv, "canned-dhcp", "--bridge", BRIDGE, "--server", GATEWAY]


class CannedDns(Canned):
    def command(self, hosts, directory):
        return [self.programs.measure, "--hosts", hosts.csv, "canned-dns", "--bridge", BRIDGE, "--domain", DOMAIN]


def network(name, subnet, domain):
    """A network of Seedbed's configuration."""
    return f"- name: {name}\n  bridge: {BRIDGE}\n  subnet: {subnet}/{PREFIX}\n  domain: {domain}\n  nat: false\n"


HERE = network("lab", GATEWAY, DOMAIN)
BEHIND_RELAY = (
    network("here", BEYOND, "here")
    + network("lab", GATEWAY, DOMAIN)
    + f"  dhcp:\n    relay:\n      server: {BEYOND}\n      agents: [{CLIENT}]\n"
)


class Seedbed(Server):
    """The real daemon, all services, its registry filled by `seedbed import`."""

    name = "seedbed"
    setup = (
        "`seedbed serve`, the release build with all its services (DHCP, DNS, metadata, exports) and default logging; "
        "registered by `seedbed import --from csv`; `nat: false`. It believes no relay inside the bridge's own network: for "
        "`perfdhcp` the hosts' network is one behind a relay (`dhcp.relay`)."
    )

    def _registry(self, hosts):
        """A state directory with these hosts, made once by the daemon itself and kept until the program changes."""
        program = Path(self.programs.seedbed)
        kept = hosts.directory / f"registry-{hosts.count}-{program.stat().st_mtime_ns}"
        if kept.exists():
            return kept
        for old in hosts.directory.glob(f"registry-{hosts.count}-*"):
            shutil.rmtree(old)
        with Lab(self.programs.measure) as lab:
            self._configure(lab.directory, HERE)
            with self._serving(lab, hosts):
                pass
            shutil.copytree(lab.directory / "state", kept)
        return kept

    @contextlib.contextmanager
    def _serving(self, lab, hosts):
        """The daemon, with these hosts registered."""
        environment = {**os.environ, **self.environment(lab.directory)}
        inside = ["ip", "netns", "exec", lab.server, str(self.programs.seedbed)]
        with open(lab.directory / "import.log", "wb") as log:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            daemon = subprocess.Popen([*inside, "serve"], env=environment, **quiet)
        try:
            self._wait(inside, environment, daemon, lab.directory / "import.log")
            run(*inside, "import", "--from", "csv", str(hosts.csv), env=environment)
            yield
        finally:
            daemon.terminate()
            daemon.wait(timeout=30)

    @contextlib.contextmanager
    def relayed(self, lab, hosts):
        with Lab(self.programs.measure) as beyond:
            beyond.put_behind_relay()
            self._configure(beyond.directory, BEHIND_RELAY)
            with self._serving(beyond, hosts):
                yield beyond, BEYOND

    @staticmethod
    def _wait(inside, environment, daemon, log):
        for _ in range(200):
            listed = subprocess.run([*inside, "list"], env=environment, capture_output=True, check=False)
            if daemon.poll() is None and listed.returncode == 0:
                return
            time.sleep(0.05)
        raise Failed(f"seedbed serve did not start:\n{log.read_text()[-3000:]}")

    @staticmethod
    def _configure(directory, networks):
        (directory / "config.yaml").write_text(
            f"state_dir: {directory}/state\nrun_dir: {directory}/run\naccel: tcg\nnetworks:\n{networks}"
        )

    def prepare(self, hosts, directory):
        self._configure(directory, HERE)
        shutil.copytree(self._registry(hosts), directory / "state")

    def command(self, hosts, directory):
        return [self.programs.seedbed, "serve"]

    def environment(self, directory):
        return {
            "SEEDBED_CONFIG": f"{directory}/config.yaml",
            "SEEDBED_SOCKET": f"{directory}/run/seedbed.sock",
            "HOME": str(directory),
        }

    def version(self):
        return run(self.programs.seedbed, "--version").split()[-1]
