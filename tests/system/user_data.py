"""What cloud-init's own schema says of cloud-configs: user_data.py KEYS CODE FOLDER...

CODE is where a cloud-init package was unpacked. Judges each cloud-config in the folders, and documents that the table KEYS forbids: a
value of each kind that a place does not take, a key that it does not have, a required key left out. Prints as JSON what it made of
each ("documents": name, text, accepted), and the places that the schema has and the table has not ("missing").
"""

import json
import os
import re
import sys

keys, code, *folders = sys.argv[1:]
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


def places(part, place):
    """The places under one, and the keys it has by a pattern."""
    if "$ref" in part:
        target = SCHEMA
        for step in part["$ref"][2:].split("/"):
            target = target[step]
        yield from places(target, place)
    for choice in part.get("oneOf", []) + part.get("anyOf", []) + part.get("allOf", []):
        yield from places(choice, place)
    inner = dict(part.get("properties", {}))
    inner.update({f"/{pattern}/": value for pattern, value in part.get("patternProperties", {}).items()})
    if isinstance(part.get("additionalProperties"), dict):
        inner["/./"] = part["additionalProperties"]
    for key, value in inner.items():
        below = f"{place}.{key}" if place else key
        yield below
        yield from places(value, below)
    items = part.get("items")
    for item in items if isinstance(items, list) else filter(None, [items]):
        yield place + "[]"
        yield from places(item, place + "[]")


def resolved(place):
    """A place by the name that the table has its keys under."""
    for like, (_, remarks) in RULES.items():
        if "as" in remarks and re.match(re.escape(like) + r"[.\[]", place):
            return remarks["as"] + place[len(like):]
    return place


def is_listed(place):
    if re.sub(r"/[^/]*/", "*", place) in RULES:
        return True
    parent, _, pattern = place.partition("./")
    if pattern.endswith("/"):
        # Some keys, listed one by one.
        keys = [rule[len(parent) + 1:] for rule in RULES if rule.startswith(parent + ".")]
        return any(re.search(pattern[:-1], key) for key in keys)
    any_above = (place[:end] for end in range(len(place)) if place[end] in ".[")
    return any("any" in RULES.get(above, ([],))[0] for above in any_above)


def documents():
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            text = open(os.path.join(folder, name)).read() if name.endswith((".txt", ".yaml")) else ""
            if re.match(r"#cloud-config\s", text):
                yield (name if folder == folders[0] else os.path.join(folder, name)), text
    for name, config in forbidden():
        yield name, "#cloud-config\n" + json.dumps(config)


judged = [{"name": name, "text": text, "accepted": accepts(text)} for name, text in documents()]
missing = sorted({place for place in map(resolved, places(SCHEMA, "")) if not is_listed(place)})
json.dump({"documents": judged, "missing": missing}, sys.stdout)
