"""cloud-init's own reporter, as a guest has it after its vendor-data: reports.py CODE URL

CODE is where a cloud-init package was unpacked. It reports a stage with a module that fails and one that works, and waits until all
is sent.
"""

import logging
import sys

code, url = sys.argv[1:]
sys.path.insert(0, code + "/usr/lib/python3/dist-packages")
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

from cloudinit import reporting  # noqa: E402
from cloudinit.reporting import events  # noqa: E402

# As `default` writes it.
reporting.update_configuration({"seedbed": {"type": "webhook", "endpoint": url, "timeout": 5, "retries": 0}})
with events.ReportEventStack("modules-config", "running modules for config", reporting_enabled=True) as stage:
    try:
        with events.ReportEventStack("config-runcmd", "running the user's commands", parent=stage):
            raise RuntimeError("a command failed")
    except RuntimeError:
        pass
with events.ReportEventStack("modules-final", "running modules for final", reporting_enabled=True):
    pass
# Newer ones send from a thread of their own.
reporting.flush_events()
