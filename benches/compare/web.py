"""The HTTP servers beside Seedbed, with each guest's meta-data as a file; no log where one can be left out."""

import uuid

from dhcp import package_version
from hosts import DOMAIN
from lab import GATEWAY, run
from servers import Seedbed, Server, unconfined

# Its own meta-data is found by who asks.
SEEDBED_PATH = "/nocloud/meta-data"


class SeedbedHttp(Seedbed):
    path = SEEDBED_PATH
    setup = Seedbed.setup + f" Each guest asks for `{SEEDBED_PATH}`, made anew for each answer and checked against its caller."


class Files(Server):
    """A server of static files: a directory for each guest, because it knows none by its address."""

    path = "/{ip}/meta-data"

    def prepare(self, hosts, directory):
        for name, _, ip in hosts.guests:
            document = directory / "www" / ip / "meta-data"
            document.parent.mkdir(parents=True)
            document.write_text(
                f'instance-id: "{uuid.uuid5(uuid.NAMESPACE_DNS, name)}"\n'
                f'local-hostname: "{name}.{DOMAIN}"\nhostname: "{name}.{DOMAIN}"\npublic-keys: []\n'
            )


class Nginx(Files):
    name = "nginx"
    setup = (
        "one process (`master_process off`), `sendfile`, `tcp_nopush`, `keepalive_requests` without bound, no log, static "
        "files in memory (tmpfs), one directory for each guest."
    )

    def prepare(self, hosts, directory):
        super().prepare(hosts, directory)
        (directory / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\nuser root;\npid {directory}/nginx.pid;\nerror_log /dev/null crit;\n"
            "events { worker_connections 2048; }\n"
            "http {\n"
            "  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n"
            + "".join(
                f"  {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"  server {{ listen {GATEWAY}:80; root {directory}/www; default_type text/plain; }}\n"
            "}\n"
        )

    def command(self, hosts, directory):
        return [unconfined("nginx", directory), "-p", directory, "-e", "/dev/null", "-c", directory / "nginx.conf"]

    def version(self):
        return package_version("nginx-common")


class Python(Files):
    name = "python"
    setup = "`python3 -m http.server --protocol HTTP/1.1`, a thread for each connection; it logs each request, into memory."

    def command(self, hosts, directory):
        words = ["-m", "http.server", "--protocol", "HTTP/1.1", "--bind", GATEWAY, "--directory", directory / "www", "80"]
        return ["/usr/bin/python3", *words]

    def version(self):
        return run("/usr/bin/python3", "--version").split()[-1]


KINDS = [SeedbedHttp, Nginx, Python]
