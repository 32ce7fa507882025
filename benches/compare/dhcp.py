"""The DHCP servers beside Seedbed, each configured as its makers say for speed: reservations only, no ping, no log."""

import json

from hosts import DOMAIN
from lab import BRIDGE, GATEWAY, NETMASK, NETWORK, PREFIX, run
from servers import CannedDhcp, Seedbed, Server, unconfined

LEASE = 43_200


class Dnsmasq(Server):
    name = "dnsmasq"
    setup = (
        "`dhcp-hostsfile` with `MAC,IP,name` lines, `dhcp-authoritative`, `no-ping`, `quiet-dhcp`, DNS off (`port=0`); "
        "lease file in memory (tmpfs)."
    )

    def prepare(self, hosts, directory):
        (directory / "hosts").write_text("".join(f"{mac},{ip},{name}\n" for name, mac, ip in hosts.rows))
        (directory / "dnsmasq.conf").write_text(
            "port=0\nkeep-in-foreground\nuser=root\npid-file=\n"
            f"interface={BRIDGE}\nexcept-interface=lo\nbind-interfaces\n"
            f"dhcp-range={NETWORK},static,{NETMASK},{LEASE}\n"
            f"dhcp-hostsfile={directory}/hosts\ndhcp-leasefile={directory}/leases\ndhcp-lease-max=1000000\n"
            "dhcp-authoritative\nno-ping\nquiet-dhcp\nlog-facility=/dev/null\nno-resolv\nno-hosts\n"
            f"domain={DOMAIN}\n"
        )

    def command(self, hosts, directory):
        return [unconfined("dnsmasq", directory), f"--conf-file={directory}/dnsmasq.conf"]

    def version(self):
        return run("/usr/sbin/dnsmasq", "--version").split()[2]


class Dhcpd(Server):
    name = "dhcpd"
    setup = (
        "`host` declarations with `fixed-address` (so no lease is written), `authoritative`, `ping-check false`, "
        "no DDNS, `-q`; syslog has no listener."
    )

    def prepare(self, hosts, directory):
        reserved = "".join(
            f"host {name} {{ hardware ethernet {mac}; fixed-address {ip}; }}\n" for name, mac, ip in hosts.rows
        )
        (directory / "leases").write_text("")
        (directory / "dhcpd.conf").write_text(
            "authoritative;\nping-check false;\nddns-update-style none;\nmin-secs 0;\n"
            f"default-lease-time {LEASE};\nmax-lease-time {LEASE};\n"
            f'option routers {GATEWAY};\noption domain-name-servers {GATEWAY};\noption domain-name "{DOMAIN}";\n'
            f"subnet {NETWORK} netmask {NETMASK} {{ }}\n{reserved}"
        )

    def command(self, hosts, directory):
        program = unconfined("dhcpd", directory)
        files = ["-cf", directory / "dhcpd.conf", "-lf", directory / "leases", "--no-pid"]
        return [program, "-4", "-f", "-q", *files, BRIDGE]

    def version(self):
        return package_version("isc-dhcp-server")


class Kea(Server):
    name = "kea"
    setup = (
        "`kea-dhcp4` with `memfile` and `persist: false`, reservations in the subnet by `hw-address` only, "
        "`reservations-out-of-pool`, no hooks, log level FATAL to /dev/null; one thread: on two cores "
        "its thread pool was no faster, and lost more of a burst."
    )

    def prepare(self, hosts, directory):
        reservations = [{"hw-address": mac, "ip-address": ip, "hostname": name} for name, mac, ip in hosts.rows]
        options = {"routers": GATEWAY, "domain-name-servers": GATEWAY, "domain-name": DOMAIN}
        subnet = {
            "id": 1,
            "subnet": f"{NETWORK}/{PREFIX}",
            "interface": BRIDGE,
            "option-data": [{"name": name, "data": data} for name, data in options.items()],
            "reservations": reservations,
        }
        configuration = {
            "interfaces-config": {"interfaces": [BRIDGE], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False, "lfc-interval": 0},
            "valid-lifetime": LEASE,
            "authoritative": True,
            "host-reservation-identifiers": ["hw-address"],
            "reservations-global": False,
            "reservations-in-subnet": True,
            "reservations-out-of-pool": True,
            "multi-threading": {"enable-multi-threading": False},
            "loggers": [{"name": "kea-dhcp4", "severity": "FATAL", "output_options": [{"output": "/dev/null"}]}],
            "subnet4": [subnet],
        }
        (directory / "kea.json").write_text(json.dumps({"Dhcp4": configuration}))

    def command(self, hosts, directory):
        return [unconfined("kea-dhcp4", directory), "-c", directory / "kea.json"]

    def environment(self, directory):
        places = ("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR", "KEA_DHCP_DATA_DIR")
        return {place: str(directory) for place in places}

    def version(self):
        return package_version("kea-dhcp4-server")


def package_version(name):
    """The upstream part of an installed package's version."""
    return run("dpkg-query", "-W", "-f", "${Version}", name).rpartition("-")[0]


KINDS = [Seedbed, CannedDhcp, Dnsmasq, Dhcpd, Kea]
