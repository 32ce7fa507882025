"""A datasource of cloud-init's own code, read as a guest would at its boot: cloud_init.py CODE DATASOURCE UUID SERIAL

CODE is where a cloud-init package was unpacked. Only what cloud-init reads from the firmware (SMBIOS) is put in its place; the
requests, their order and what is made of the answers are its own. Prints what it understood as one JSON object.
"""

import base64
import json
import logging
import sys
import tempfile

code, wanted, uuid, serial = sys.argv[1:]
sys.path.insert(0, code + "/usr/lib/python3/dist-packages")
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

from cloudinit import dmi, helpers, sources, util  # noqa: E402

FIRMWARE = {
    "system-product-name": "OpenStack Nova",
    "system-uuid": uuid,
    "system-serial-number": serial,
}
if wanted == "Ec2":
    # What an instance of Amazon's says: both the same, and in their form.
    FIRMWARE["system-uuid"] = FIRMWARE["system-serial-number"] = "ec2" + uuid[3:]
dmi.read_dmi_data = FIRMWARE.get
util.get_cmdline = lambda: ""

module = __import__("cloudinit.sources.DataSource" + wanted, fromlist=["x"])
kind = {"OpenStack": "DataSourceOpenStack", "NoCloud": "DataSourceNoCloudNet", "Ec2": "DataSourceEc2"}[wanted]
place = tempfile.mkdtemp(prefix="cloud-init-")
paths = helpers.Paths({"cloud_dir": place, "run_dir": place})


class Distro:
    """What a datasource asks of a distribution."""

    name = "debian"
    fallback_interface = "eth0"
    networking = None

    def get_option(self, _name, default=None):
        return default


settings = {"datasource": {"Ec2": {"timeout": 5, "max_wait": 20}}, "datasource_list": [wanted]}
source = getattr(module, kind)(settings, Distro(), paths)
found = source._get_data()


def hostname():
    told = source.get_hostname(fqdn=True)
    return getattr(told, "hostname", told)


def octets(value):
    return base64.b64encode(value.encode() if isinstance(value, str) else value or b"").decode()


print(
    json.dumps(
        {
            "found": found,
            "instance_id": found and source.get_instance_id(),
            "hostname": found and hostname(),
            "keys": found and source.get_public_ssh_keys(),
            "user_data": octets(source.userdata_raw),
            "vendor_data": octets(source.vendordata_raw),
            "network": getattr(source, "network_json", None) if wanted == "OpenStack" else None,
            "stays_valid": source.check_instance_id(settings),
        }
    )
)
