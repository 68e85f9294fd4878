"""Runs conversations of tlsfuzzer against a server, and judges what differs.

    tls_audit.py TABLE TLSFUZZER PYTHON CERTIFICATES NAME=PORT.. [--only WORD]

TABLE is tls-audit.toml: each conversation of tlsfuzzer on TLS 1.3 has a row there. A part of a
conversation that ends otherwise than tlsfuzzer expects must be a difference of the table, with that
end; any other is a defect, and so is a script of tlsfuzzer without a row. The exit code is 0
without defects. A difference that no part had is reported: parts are chosen by chance.
"""

import os
import re
import subprocess
import sys
import tomllib

CONVERSATION_TIMEOUT_S = 300
# Of a conversation with thousands of parts, so many are chosen by chance.
PARTS_MAX = 200


def main() -> int:
    only = None
    arguments = sys.argv[1:]
    if "--only" in arguments:
        at = arguments.index("--only")
        only = arguments[at + 1]
        del arguments[at : at + 2]
    table_path, tlsfuzzer, python, certificates, *servers = arguments
    ports = dict(server.split("=") for server in servers)
    with open(table_path, "rb") as file:
        table = tomllib.load(file)
    rows = [row for row in table["conversation"] if only is None or only in row["name"]]
    differences = [Difference(entry) for entry in table["difference"]]
    defects = 0 if only else missing_rows(table["conversation"], tlsfuzzer)
    for row in rows:
        if "lacks" in row:
            print(f"{row['name']}: not applicable, the server lacks {row['lacks']}")
            continue
        words = {"CERTIFICATES": certificates, "SIGNATURES": " ".join(table["signatures"])}
        defects += judge(row, differences, run(row, tlsfuzzer, python, words, ports))
    for difference in differences:
        if only is None and not difference.is_met:
            print(f"no part had this difference, now: {difference.entry}")
    print(f"tlsfuzzer: {len(rows)} conversations, {defects} defects")
    return 1 if defects else 0


class Difference:
    """An end that tlsfuzzer does not expect, and the reason for it."""

    def __init__(self, entry: dict) -> None:
        self.entry = entry
        self.scripts = re.compile(entry.get("in", ".*"))
        self.parts = re.compile(entry["part"])
        self.end = re.compile(entry["end"])
        self.is_met = False

    def explains(self, script: str, part: str, end: str) -> bool:
        return bool(
            self.scripts.fullmatch(script)
            and self.parts.search(part)
            and self.end.search(end)
        )


def missing_rows(rows: list[dict], tlsfuzzer: str) -> int:
    """Conversations on TLS 1.3 that the table does not know."""
    known = {row["name"] for row in rows}
    names = [
        name.removeprefix("test-").removesuffix(".py")
        for name in sorted(os.listdir(os.path.join(tlsfuzzer, "scripts")))
        if name.startswith("test-tls13-")
    ]
    missing = [name for name in names if name not in known]
    for name in missing:
        print(f"DEFECT: {name} has no row")
    return len(missing)


def run(row: dict, tlsfuzzer: str, python: str, words: dict, ports: dict) -> str:
    script = os.path.join("scripts", f"test-{row['name']}.py")
    arguments = row.get("arguments", [])
    for word, value in words.items():
        arguments = [it.replace(word, value) for it in arguments]
    port = ports[row.get("server", "rsa")]
    parts = [] if row.get("is_whole") else ["-n", str(PARTS_MAX)]
    command = [python, script, "-h", "localhost", "-p", port, *parts, *arguments]
    environment = {**os.environ, "PYTHONPATH": "."}
    try:
        result = subprocess.run(
            command,
            cwd=tlsfuzzer,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CONVERSATION_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"timeout ...\nAssertionError: not over after {CONVERSATION_TIMEOUT_S} s\n"
    return result.stdout


def judge(row: dict, differences: list[Difference], output: str) -> int:
    """Prints the result of a conversation and returns its defects."""
    name = row["name"]
    counts = dict(re.findall(r"^(PASS|FAIL|XFAIL|XPASS): (\d+)$", output, re.MULTILINE))
    if not counts:
        print(f"DEFECT: {name} did not run: {output[-500:]}")
        return 1
    reasons, defects, failures = {}, 0, 0
    for part, text in parts(output):
        ends = re.findall(r"^[A-Za-z_.]+(?:Error|Exception): (.*)$", text, re.MULTILINE)
        if not ends:
            continue
        failures += 1
        # The last exception is the one that the earlier ones led to.
        found = next((it for it in differences if it.explains(name, part, ends[-1])), None)
        if found is None:
            print(f"DEFECT: {name}: {part}: {ends[-1]}")
            defects += 1
            continue
        found.is_met = True
        reason = found.entry["reason"]
        reasons[reason] = reasons.get(reason, 0) + 1
    if failures < int(counts.get("FAIL", 0)):
        print(f"DEFECT: {name}: {counts['FAIL']} parts failed, {failures} have an end")
        defects += 1
    print(f"{name}: {counts['PASS']} passed")
    for reason, count in reasons.items():
        print(f"    {count} differ: {reason}")
    return defects


def parts(output: str) -> list[tuple[str, str]]:
    """The parts of a conversation, each with its output."""
    pieces = re.split(r"^(\S.*?) ?\.\.\.$", output, flags=re.MULTILINE)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


if __name__ == "__main__":
    sys.exit(main())
