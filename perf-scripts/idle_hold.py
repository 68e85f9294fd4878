"""Holds idle connections to a server and prints what each costs it in memory.

Each connection makes one tools/call (revision 2026-07-28), is checked to have been answered 200,
and then stays open and silent. At each step, once the server's memory has settled, the figures are
read; the slope of a straight line through them is the cost of a connection, free of what the
process costs anyway. A connection that the server has closed fails the run: it would be counted as
cheap.

Deliberately no load: calls are made one after the other. The client is one process, so it may hold
no more connections than its descriptor limit allows.
"""

import argparse
import json
import re
import resource
import select
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

# Descriptors this process needs besides connections.
DESCRIPTORS_SPARE = 64
# Client addresses to spread over, so that no pair of addresses runs out of ports.
SOURCES = [f"127.0.0.{last}" for last in range(2, 10)]
ANSWER_BYTES_MAX = 65_536
ANSWER_TIMEOUT_S = 10.0
# Memory has settled when this many readings in a row agree to within a page.
READINGS_ALIKE = 5
READING_INTERVAL_S = 0.2
SETTLE_TIMEOUT_S = 15.0
PAGE_BYTES = resource.getpagesize()
# What the server pays for in its own memory, and what the kernel does for it.
USER_FIGURES = ["VmRSS", "Rss", "Private"]
KERNEL_FIGURES = ["Slab"]


def request_bytes(netloc, path):
    body = json.dumps({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "echo",
            "arguments": {"message": "a" * 100},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }, separators=(",", ":"))
    return (
        f"POST {path} HTTP/1.1\r\nHost: {netloc}\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def call(connection, request):
    """Makes one call and reads its whole answer, so that nothing of it is left in any buffer."""
    connection.sendall(request)
    answer = b""
    wanted = None
    while wanted is None or len(answer) < wanted:
        piece = connection.recv(ANSWER_BYTES_MAX)
        if not piece:
            sys.exit(f"idle: the server closed the connection within an answer: {answer!r}")
        answer += piece
        head, end, _ = answer.partition(b"\r\n\r\n")
        if end and wanted is None:
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            if not head.startswith(b"HTTP/1.1 200 ") or not length:
                sys.exit(f"idle: not a plain 200 answer with a length: {answer!r}")
            wanted = len(head) + len(end) + int(length[1])
    if len(answer) != wanted or b"a" * 100 not in answer:
        sys.exit(f"idle: the answer does not echo: {answer!r}")


def connect(address, number):
    connection = socket.socket()
    connection.settimeout(ANSWER_TIMEOUT_S)
    # Leaves the choice of the port to connect(), which may share it between destinations.
    connection.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    connection.bind((SOURCES[number % len(SOURCES)], 0))
    connection.connect(address)
    return connection


def kilobytes(path, key):
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return sys.exit(f"idle: {path} has no {key}")


def memory(pid):
    """All figures in bytes. Rss and Private come from the page tables; VmRSS may lag."""
    rollup = f"/proc/{pid}/smaps_rollup"
    figures = {
        "VmRSS": kilobytes(f"/proc/{pid}/status", "VmRSS"),
        "Rss": kilobytes(rollup, "Rss"),
        "Private": kilobytes(rollup, "Private_Clean") + kilobytes(rollup, "Private_Dirty"),
        "Slab": kilobytes("/proc/meminfo", "Slab"),
    }
    return {name: kib * 1024 for name, kib in figures.items()}


def settled_memory(pid):
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    recent = []
    while time.monotonic() < deadline:
        recent = [*recent[1 - READINGS_ALIKE:], memory(pid)]
        rss = [reading["Rss"] for reading in recent]
        if len(recent) == READINGS_ALIKE and max(rss) - min(rss) <= PAGE_BYTES:
            return recent[-1]
        time.sleep(READING_INTERVAL_S)
    print(f"  note: memory had not settled after {SETTLE_TIMEOUT_S:.0f} s", flush=True)
    return recent[-1]


def check_open(poller):
    """Idle connections have nothing to say: what can be read is their end."""
    ended = poller.poll(0)
    if ended:
        sys.exit(f"idle: the server ended {len(ended)} of the idle connections")


def slope(points):
    """Least squares through (x, y) points."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def measure(options):
    parts = urlsplit(options.url)
    address = (parts.hostname, parts.port)
    request = request_bytes(parts.netloc, parts.path or "/mcp")
    held, poller, rows = [], select.poll(), []
    print(f"{'connections':>12}" + "".join(f"{name + ' KiB':>14}" for name in memory(options.pid)))
    for step in options.steps:
        while len(held) < step:
            connection = connect(address, len(held))
            call(connection, request)
            poller.register(connection, select.POLLIN)
            held.append(connection)
        figures = settled_memory(options.pid)
        check_open(poller)
        rows.append((step, figures))
        cells = "".join(f"{value // 1024:>14,}" for value in figures.values())
        print(f"{step:>12,}{cells}", flush=True)
    # A connection that is held must still be good for a call.
    call(held[0], request)
    call(held[-1], request)
    return {name: slope([(step, row[name]) for step, row in rows]) for name in rows[0][1]}


def steps(text):
    values = [int(word) for word in text.split(",")]
    if len(values) < 2 or values[0] < 1 or values != sorted(set(values)):
        raise argparse.ArgumentTypeError("takes at least two rising numbers of connections")
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--steps", type=steps, required=True)
    parser.add_argument("--limit-bytes", type=float)
    options = parser.parse_args()

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if options.steps[-1] + DESCRIPTORS_SPARE > most:
        sys.exit(f"idle: {options.steps[-1]} connections exceed the descriptor limit of {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    slopes = measure(options)
    print("bytes per connection (least squares):")
    for name in USER_FIGURES:
        print(f"{name:>12}{slopes[name]:>14,.1f}")
    for name in KERNEL_FIGURES:
        print(f"{name:>12}{slopes[name]:>14,.1f}  kernel memory of both ends, whole machine")
    # The strictest reading: a server must not pass on the error of one counter.
    worst = max(slopes[name] for name in USER_FIGURES)
    if options.limit_bytes is not None and worst > options.limit_bytes:
        limit = f"the limit of {options.limit_bytes:g}"
        sys.exit(f"idle: {worst:.1f} bytes per connection exceed {limit}")


if __name__ == "__main__":
    main()
