"""What every server under measurement has in common, and Seedbed and the canned responders themselves."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from hosts import DOMAIN
from lab import BRIDGE, GATEWAY, PREFIX, Failed, Lab, run


class Server:
    """A kind of server: `prepare` writes what it reads into a directory; `command` and `environment` start it there."""

    name = ""
    # How it was configured, for the report.
    setup = ""

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


class Seedbed(Server):
    """The real daemon, all services, its registry filled by `seedbed import`."""

    name = "seedbed"
    setup = (
        "`seedbed serve`, the release build with all its services (DHCP, DNS, metadata, exports) and default logging; "
        "registered by `seedbed import --from csv`; `nat: false`. It believes no relay inside the bridge's own network, which "
        "is what `perfdhcp` plays."
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
            environment = {**os.environ, **self.environment(lab.directory)}
            self._configure(lab.directory)
            inside = ["ip", "netns", "exec", lab.server, str(program)]
            with open(lab.directory / "import.log", "wb") as log:
                quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
                daemon = subprocess.Popen([*inside, "serve"], env=environment, **quiet)
            try:
                self._wait(inside, environment, daemon, lab.directory / "import.log")
                run(*inside, "import", "--from", "csv", str(hosts.csv), env=environment)
            finally:
                daemon.terminate()
                daemon.wait(timeout=30)
            shutil.copytree(lab.directory / "state", kept)
        return kept

    @staticmethod
    def _wait(inside, environment, daemon, log):
        for _ in range(200):
            listed = subprocess.run([*inside, "list"], env=environment, capture_output=True, check=False)
            if daemon.poll() is None and listed.returncode == 0:
                return
            time.sleep(0.05)
        raise Failed(f"seedbed serve did not start:\n{log.read_text()[-3000:]}")

    @staticmethod
    def _configure(directory):
        (directory / "config.yaml").write_text(
            f"state_dir: {directory}/state\n"
            f"run_dir: {directory}/run\n"
            "accel: tcg\n"
            "networks:\n"
            f"  - name: lab\n    bridge: {BRIDGE}\n    subnet: {GATEWAY}/{PREFIX}\n    domain: {DOMAIN}\n    nat: false\n"
        )

    def prepare(self, hosts, directory):
        self._configure(directory)
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
