"""Verifies an audit log, independently of corelane: verify.py PUBLIC-KEY FILE..."""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(key, lines):
    """Returns the numbers of records and of signatures; raises ValueError at a bad record."""
    before, signatures, kept = None, 0, 1
    first = json.loads(lines[0])["seq"] if lines else 1
    for line in lines:
        record = json.loads(line)
        seq, prev = record["seq"], decode(record["prev"])
        text = line[: -len(',"hash":"') - 45] + "}"
        if line != text[:-1] + ',"hash":"' + record["hash"] + '"}':
            raise ValueError(f"record {seq}: the hash is not its last member")
        if hashlib.sha256(prev + text.encode()).digest() != decode(record["hash"]):
            raise ValueError(f"record {seq}: it was changed")
        if before and (seq, prev) != (before["seq"] + 1, decode(before["hash"])):
            raise ValueError(f"record {seq}: it does not follow {before['seq']}")
        if record["event"] == "checkpoint":
            signed = ("corelane audit checkpoint 1", record["node"], seq - 1, record["prev"], "")
            key.verify(decode(record["signature"]), "\n".join(map(str, signed)).encode())
            signatures += 1
        if record["event"] == "audit.removed":
            kept = int(record["name"].rpartition("-")[2].split(".")[0]) + record["count"]
        before = record
    if first > kept:
        raise ValueError(f"record {first}: those before it are missing")
    return before["seq"] if before else 0, signatures


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        PUBLIC = load_pem_public_key(file.read())
    TEXT = "".join(open(path, encoding="utf-8", newline="\n").read() for path in sys.argv[2:])
    try:
        print("%d records, %d signatures" % verify(PUBLIC, TEXT.split("\n")[:-1]))
    except (ValueError, KeyError, InvalidSignature) as error:
        sys.exit(f"broken: {error!r}")
