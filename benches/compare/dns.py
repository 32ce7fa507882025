"""The DNS servers beside Seedbed, each with the same names in the form it reads fastest; no log, no forwarding."""

from dhcp import package_version
from hosts import DOMAIN, reverse
from lab import BRIDGE, GATEWAY, PREFIX, run
from servers import CannedDns, Seedbed, Server, unconfined

TTL = 5
REVERSE = "10.in-addr.arpa"


class Dnsmasq(Server):
    name = "dnsmasq"
    setup = "`addn-hosts` with all names, `local=/lab/`, DHCP off, no forwarding, no log."

    def prepare(self, hosts, directory):
        (directory / "hosts").write_text("".join(f"{ip} {name}.{DOMAIN}\n" for name, _, ip in hosts.rows))
        (directory / "dnsmasq.conf").write_text(
            "keep-in-foreground\nuser=root\npid-file=\nlog-facility=/dev/null\n"
            f"interface={BRIDGE}\nexcept-interface=lo\nbind-interfaces\n"
            f"no-resolv\nno-hosts\naddn-hosts={directory}/hosts\nlocal=/{DOMAIN}/\nlocal=/{REVERSE}/\nlocal-ttl={TTL}\n"
        )

    def command(self, hosts, directory):
        return [unconfined("dnsmasq", directory), f"--conf-file={directory}/dnsmasq.conf"]

    def version(self):
        return run("/usr/sbin/dnsmasq", "--version").split()[2]


class Unbound(Server):
    name = "unbound"
    setup = (
        "`local-data` and `local-data-ptr` in static `local-zone`s, `module-config: iterator`, one thread (its default), "
        "no log."
    )

    def prepare(self, hosts, directory):
        data = "".join(
            f'local-data: "{name}.{DOMAIN}. {TTL} IN A {ip}"\nlocal-data-ptr: "{ip} {TTL} {name}.{DOMAIN}"\n'
            for name, _, ip in hosts.rows
        )
        (directory / "unbound.conf").write_text(
            "server:\n"
            f'username: ""\nchroot: ""\npidfile: ""\ndirectory: "{directory}"\n'
            'use-syslog: no\nlogfile: "/dev/null"\nverbosity: 0\n'
            f"interface: {GATEWAY}\naccess-control: {GATEWAY}/{PREFIX} allow\n"
            'module-config: "iterator"\n'
            f'local-zone: "{DOMAIN}." static\nlocal-zone: "{REVERSE}." static\n{data}'
            "remote-control:\ncontrol-enable: no\n"
        )

    def command(self, hosts, directory):
        return [unconfined("unbound", directory), "-d", "-c", directory / "unbound.conf"]

    def version(self):
        return package_version("unbound")


class Knot(Server):
    name = "knot"
    setup = "zone files of the domain and of the reverse zone, no journal, no semantic checks, its default workers, no log."

    def prepare(self, hosts, directory):
        head = f"@ {TTL} IN SOA ns.{DOMAIN}. root.{DOMAIN}. 1 3600 600 86400 {TTL}\n@ {TTL} IN NS ns.{DOMAIN}.\n"
        forward = "".join(f"{name} {TTL} A {ip}\n" for name, _, ip in hosts.rows)
        backward = "".join(f"{reverse(ip)}. {TTL} PTR {name}.{DOMAIN}.\n" for name, _, ip in hosts.rows)
        (directory / "forward.zone").write_text(f"{head}ns {TTL} A {GATEWAY}\n{forward}")
        (directory / "reverse.zone").write_text(head + backward)
        (directory / "knot.conf").write_text(
            f'server:\n    rundir: "{directory}"\n    listen: {GATEWAY}@53\n'
            f'database:\n    storage: "{directory}"\n'
            "template:\n  - id: default\n"
            f'    storage: "{directory}"\n    semantic-checks: off\n    journal-content: none\n'
            "    zonefile-load: whole\n    zonefile-sync: -1\n"
            f"zone:\n  - domain: {DOMAIN}\n    file: forward.zone\n  - domain: {REVERSE}\n    file: reverse.zone\n"
        )

    def command(self, hosts, directory):
        return [unconfined("knotd", directory), "-c", directory / "knot.conf"]

    def version(self):
        return package_version("knot")


KINDS = [Seedbed, CannedDns, Dnsmasq, Unbound, Knot]
