"""The HTTP servers beside Seedbed's metadata service: static files of the size of what a guest reads, no log."""

import sys

from dhcp import package_version
from lab import GATEWAY
from servers import Seedbed, Server, unconfined

# What a guest asks first, and what it is told.
PATH = "/nocloud/meta-data"
DOCUMENT = (
    '"instance-id": "7573fe52-e13e-82a6-a9ae-40fb6a351c25"\n"local-hostname": "h00000.lab"\n"hostname": "h00000"\n'
)


class Files(Server):
    """A server of files."""

    def prepare(self, hosts, directory):
        (directory / "files" / "nocloud").mkdir(parents=True)
        (directory / "files" / PATH.lstrip("/")).write_text(DOCUMENT)


class Nginx(Files):
    name = "nginx"
    setup = "static files, one process (`master_process off`), `sendfile` and `tcp_nopush` on, no log, keep-alive without end."

    def prepare(self, hosts, directory):
        super().prepare(hosts, directory)
        (directory / "nginx.conf").write_text(
            "user root;\ndaemon off;\nmaster_process off;\nerror_log /dev/null crit;\n"
            f"pid {directory}/nginx.pid;\nevents {{ worker_connections 1024; }}\n"
            "http {\naccess_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 100000000;\n"
            f"client_body_temp_path {directory}/body;\nproxy_temp_path {directory}/proxy;\n"
            f"fastcgi_temp_path {directory}/fastcgi;\nuwsgi_temp_path {directory}/uwsgi;\nscgi_temp_path {directory}/scgi;\n"
            f"server {{ listen {GATEWAY}:80; root {directory}/files; default_type text/plain; }}\n}}\n"
        )

    def command(self, hosts, directory):
        return [unconfined("nginx", directory), "-p", directory, "-c", directory / "nginx.conf"]

    def version(self):
        return package_version("nginx-light")


class Python(Files):
    name = "python3"
    setup = "`python3 -m http.server`; it closes each connection after one answer, and its log goes to the measurement's."

    def command(self, hosts, directory):
        return [sys.executable, "-m", "http.server", "--bind", GATEWAY, "--directory", directory / "files", "80"]

    def version(self):
        return sys.version.split()[0]


KINDS = [Seedbed, Nginx, Python]
