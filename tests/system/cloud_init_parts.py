"""What cloud-init's own code makes of documents: cloud_init_parts.py CODE [VENDOR-DATA USER-DATA]...

CODE is where a cloud-init package was unpacked. The documents of a pair are taken apart, handled and merged by it, as at a first boot;
only boothooks are not run. Prints a JSON list with an object for each pair: the merged settings, the parts of each document in their
order (type, file name, content in base64), and the names of the scripts that would be run.
"""

import base64
import json
import logging
import os
import sys
import tempfile
from unittest.mock import MagicMock

code, *documents = sys.argv[1:]
sys.path.insert(0, code + "/usr/lib/python3/dist-packages")
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

# Imported for the network files of distributions, which nothing here touches.
for unused in ["configobj", "jsonpatch", "oauthlib", "oauthlib.oauth1"]:
    try:
        __import__(unused)
    except ImportError:
        sys.modules[unused] = MagicMock()

from cloudinit import helpers, sources, stages, util  # noqa: E402
from cloudinit.handlers import boot_hook  # noqa: E402

INSTANCE = "i-parts"


class NotRun:
    """In the place of the module that runs programs."""

    ProcessExecutionError = Exception

    @staticmethod
    def subp(*_args, **_kwargs):
        return "", ""


boot_hook.subp = NotRun
boot_hook.util.subp = NotRun


def octets(path):
    with open(path, "rb") as file:
        return file.read()


class Source(sources.DataSource):
    dsname = "Parts"


def parts(message):
    found = []
    for part in message.walk():
        if part.get_content_maintype() == "multipart":
            continue
        payload = util.fully_decoded_payload(part)
        if isinstance(payload, str):
            payload = payload.encode("utf-8", "surrogateescape")
        found.append([part.get_content_type(), part.get_filename(), base64.b64encode(payload).decode()])
    return found


def scripts(folder):
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name for name in found if os.path.isfile(f"{folder}/{name}"))


def first_boot(vendor_data, user_data):
    """An instance of its own that has only these."""
    place = tempfile.mkdtemp(prefix="cloud-init-")
    os.makedirs(f"{place}/instances/{INSTANCE}")
    os.symlink(f"{place}/instances/{INSTANCE}", f"{place}/instance")
    paths = helpers.Paths({"cloud_dir": place, "run_dir": place})
    source = Source({}, None, paths)
    source.metadata = {"instance-id": INSTANCE}
    source.vendordata_raw, source.userdata_raw = octets(vendor_data), octets(user_data)
    paths.datasource = source
    init = stages.Init()
    init.datasource, init._paths, init._distro = source, paths, object()
    # cloud-init's own default (settings.py).
    init._cfg = {"vendor_data": {"enabled": True, "prefix": []}}
    return source, paths, init


def made(vendor_data, user_data):
    source, paths, init = first_boot(vendor_data, user_data)
    taken_apart = {"vendor": parts(source.get_vendordata()), "user": parts(source.get_userdata(False))}
    init._consume_userdata("once-per-instance")
    if init._consume_vendordata.__code__.co_varnames[1] == "vendor_source":
        init._consume_vendordata("vendordata", "once-per-instance")
    else:
        init._consume_vendordata("once-per-instance")
    merged = helpers.ConfigMerger(paths=paths, datasource=None, additional_fns=[], base_cfg={}).cfg
    folder = f"{paths.cloud_dir}/instance/scripts"
    return {
        "merged": merged,
        "parts": taken_apart,
        "scripts": {"vendor": scripts(f"{folder}/vendor"), "user": scripts(folder)},
    }


pairs = zip(documents[::2], documents[1::2])
print(json.dumps([made(*pair) for pair in pairs], default=str))
