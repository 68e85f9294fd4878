"""Measures whether the time of a refusal shows how much of an API key is right.

    key_timing.py PROGRAM [SAMPLES]

PROGRAM is the corelane binary, best a release build. Starts it with one API key and sends wrong
ones in random order, whose first 0, 20 or 36 characters of 43 are right (100,000 of each by
default), from many loopback addresses, each of which stays below the limit of failed credentials.
Prints Welch's t of each two kinds. The exit code is 0 if all are below 4.5.

It is no part of the gate: a busy neighbour makes its figures worse, never better.
"""

import base64
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import zlib

T_MAX = 4.5
# With more right ones there were few wrong keys, and a key that was refused before costs less.
RIGHT_CHARACTERS = (0, 20, 36)
SECRET_CHARACTERS = 43
TRIES_OF_A_SOURCE = 900
# The slowest part of all samples says nothing about the server.
KEPT = 0.98


def main() -> int:
    program = sys.argv[1]
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    new = subprocess.run([program, "token", "new", "--id", "ci"], capture_output=True, text=True)
    key, entry = new.stdout.split("\n", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "corelane.toml")
        with open(path, "w") as file:
            file.write('[policy]\ndefault = "authenticated"\n')
            file.write('[auth]\nresource = "https://mcp.example.com/mcp"\n')
            file.write(f"{entry}\n[limits]\nfailed_credentials = {{ tries = 1000 }}\n")
        arguments = ["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--config", path]
        server = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        try:
            address = server.stdout.readline().split("://")[1].split("/")[0]
            times = measure(address, key, samples)
        finally:
            server.terminate()
            server.wait()
    return compare(times)


def measure(address: str, key: str, samples: int) -> dict[int, list[float]]:
    """The times of refusals in microseconds, by the number of right characters."""
    host, port = address.split(":")
    order = [right for right in RIGHT_CHARACTERS for _ in range(samples)]
    random.shuffle(order)
    times: dict[int, list[float]] = {right: [] for right in RIGHT_CHARACTERS}
    for number, right in enumerate(order):
        source, tries = divmod(number, TRIES_OF_A_SOURCE)
        if tries == 0:
            local = f"127.{1 + source // 250 // 250}.{source // 250 % 250}.{1 + source % 250}"
            stream = socket.create_connection((host, int(port)), source_address=(local, 0))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = request_with(wrong_key(key, right), address)
        start = time.perf_counter_ns()
        stream.sendall(request)
        answer = stream.recv(4096)
        times[right].append((time.perf_counter_ns() - start) / 1000)
        if not answer.startswith(b"HTTP/1.1 401 "):
            raise SystemExit(f"another answer than 401: {answer!r}")
    return times


def wrong_key(key: str, right: int) -> str:
    """A key with a right checksum, of which only the first characters are right."""
    start = key.rsplit("_", 1)[0]
    names, secret = start[:-SECRET_CHARACTERS], start[-SECRET_CHARACTERS:]
    other = secret
    while other[:right + 1] == secret[:right + 1]:
        drawn = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        other = secret[:right] + drawn[right:]
    text = names + other
    return f"{text}_{zlib.crc32(text.encode()):08x}"


def request_with(key: str, address: str) -> bytes:
    head = f"POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()


def compare(times: dict[int, list[float]]) -> int:
    ordered = sorted(value for values in times.values() for value in values)
    longest = ordered[int(len(ordered) * KEPT)]
    kept = {right: [it for it in values if it <= longest] for right, values in times.items()}
    found = []
    for place, one in enumerate(RIGHT_CHARACTERS):
        mean, variance = moments(kept[one])
        print(f"{one:2} right: {len(kept[one])} samples, mean {mean:.3f} us")
        for other in RIGHT_CHARACTERS[place + 1 :]:
            other_mean, other_variance = moments(kept[other])
            spread = variance / len(kept[one]) + other_variance / len(kept[other])
            found.append((one, other, (mean - other_mean) / math.sqrt(spread)))
    for one, other, t in found:
        print(f"{one:2} against {other:2}: t = {t:.2f}")
    return 0 if all(abs(t) < T_MAX for _, _, t in found) else 1


def moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


if __name__ == "__main__":
    sys.exit(main())
