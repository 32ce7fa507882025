"""What cloud-init's own schema says of cloud-configs: user_data.py CODE FOLDER KEYS

CODE is where a cloud-init package was unpacked. Judges each document in FOLDER, and documents that the table KEYS forbids: a value
of each kind that a place does not take, a key that it does not have, a required key left out. Prints a JSON list of
{"name", "text", "accepted"}.
"""

import json
import os
import sys

code, folder, keys = sys.argv[1:]
sys.path.insert(0, code + "/usr/lib/python3/dist-packages")

import yaml  # noqa: E402
from cloudinit.config import schema  # noqa: E402

SCHEMA = schema.get_schema()
VALUES = {
    "text": "a text",
    "whole": 5,
    "number": 1.5,
    "bool": True,
    "null": None,
    "list": [],
    "map": {},
}


def accepts(text):
    try:
        config = yaml.safe_load(text)
        schema.validate_cloudconfig_schema(config, SCHEMA, strict=True)
    except schema.SchemaValidationError as refusal:
        return not refusal.schema_errors
    except Exception as failure:  # A reader that breaks accepts nothing.
        print(f"{type(failure).__name__}: {failure}: {text!r}", file=sys.stderr)
        return False
    return True


def table():
    rules = {}
    for line in open(keys):
        if line.strip() and not line.startswith("#"):
            place, kinds, *remarks = line.split()
            remarks = dict((remark + "=").split("=")[:2] for remark in remarks)
            rules[place] = (kinds.split("|"), remarks)
    return rules


RULES = table()


def sample(place):
    """A value that a place takes."""
    kinds, remarks = RULES.get(place, (["text"], {}))
    if "one-of" in remarks:
        return remarks["one-of"].split(",")[0]
    kind = next((kind for kind in kinds if kind not in ("any", "null")), "text")
    if kind == "list":
        return [sample(place + "[]")]
    return with_required(place, {}) if kind == "map" else VALUES[kind]


def with_required(place, mapping):
    _, remarks = RULES.get(place, ([], {}))
    for names in filter(None, remarks.get("required", "").split(",")):
        name = names.split("|")[0]
        mapping.setdefault(name, sample(f"{place}.{name}"))
    return mapping


def around(place, value):
    """The smallest document that has a value at a place, and is good beside it."""
    if place.endswith("[]"):
        return around(place[:-2], [value])
    parent, _, key = place.rpartition(".")
    mapping = {"site" if key == "*" else key: value}
    return around(parent, with_required(parent, mapping)) if parent else mapping


def forbidden():
    for place, (kinds, remarks) in RULES.items():
        if "any" in kinds:
            continue
        for kind, value in VALUES.items():
            if kind not in kinds and not (kind == "whole" and "number" in kinds):
                yield f"{place} as {kind}", around(place, value)
        if "one-of" in remarks:
            yield f"{place} as another text", around(place, "no such text")
        if "map" in kinds and "open" not in remarks and f"{place}.*" not in RULES:
            yield f"{place} with another key", around(place, with_required(place, {"no_such_key": "a"}))
        if "required" in remarks and "map" in kinds:
            yield f"{place} with nothing in it", around(place, {})


documents = [(name, open(os.path.join(folder, name)).read()) for name in sorted(os.listdir(folder))]
documents += [(name, "#cloud-config\n" + json.dumps(config)) for name, config in forbidden()]
json.dump([{"name": name, "text": text, "accepted": accepts(text)} for name, text in documents], sys.stdout)
