"""Checks a list of components: components.py LIST CRATES

LIST is in CycloneDX 1.5 as JSON, and must satisfy the schema of that. CRATES has the crates that
the program is made of, `name vVERSION` a line, as `cargo tree --prefix none` prints them: each must
be in the list. It needs cyclonedx-python-lib[json-validation].
"""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

path, crates = sys.argv[1:]
with open(path) as file:
    text = file.read()
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if fault:
    sys.exit(f"{path}: {fault}")
bom = json.loads(text)
components = {(it["name"], it["version"]) for it in bom["components"]}
own = bom["metadata"]["component"]
components.add((own["name"], own["version"]))
with open(crates) as file:
    words = [line.split() for line in file if line.strip()]
used = {(name, version.removeprefix("v")) for name, version, *_ in words}
if missing := sorted(used - components):
    sys.exit(f"{path}: {len(missing)} crates are missing: {missing}")
unlicensed = sorted(it["name"] for it in bom["components"] if not it.get("licenses"))
if unlicensed:
    sys.exit(f"{path}: components without a licence: {unlicensed}")
print(f"{path}: {len(components)} components, {len(used)} crates in use")
