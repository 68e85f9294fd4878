"""The table, the ratios and the record of what compare.sh measured.

Reads one line per round and server; prints medians with their range and, because both servers ran
in each round, the median of the rounds' ratios, never a ratio of medians. Says which runs do not
measure what they seem to. Deliberately knows nothing of targets: those stand in the description of
the workloads.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from statistics import median

COLUMNS = [
    ("workload", str), ("connections", int), ("server", str), ("round", int), ("requests", int),
    ("duration_us", int), ("p50_us", int), ("p99_us", int), ("p999_us", int), ("max_us", int),
    ("server_cpu_ns", int), ("core_busy_ns", int), ("wall_s", float), ("wrk_user_s", float),
    ("wrk_system_s", float),
]
# Above this share of its core a process has none to spare.
SATURATED_PERCENT = 95.0
# Above this share of the server's core, work of others falsifies the round.
FOREIGN_PERCENT = 5.0
FIGURES = [
    ("requests_per_s", "requests/s", "{:,.0f}"),
    ("p50_us", "p50 us", "{:,.0f}"),
    ("p99_us", "p99 us", "{:,.0f}"),
    ("server_cpu_us_per_request", "server CPU us/request", "{:.3f}"),
    ("server_percent", "server % of core", "{:.1f}"),
    ("wrk_percent", "wrk % of core", "{:.1f}"),
]
RATIOS = FIGURES[:4]


def read_rounds(path):
    rounds = []
    for line in Path(path).read_text().splitlines():
        words = line.split("\t")
        row = {name: kind(word) for (name, kind), word in zip(COLUMNS, words, strict=True)}
        wall_ns = row["wall_s"] * 1e9
        row["requests_per_s"] = row["requests"] * 1e6 / row["duration_us"]
        row["server_cpu_us_per_request"] = row["server_cpu_ns"] / 1e3 / row["requests"]
        row["server_percent"] = 100 * row["server_cpu_ns"] / wall_ns
        row["wrk_percent"] = 100 * (row["wrk_user_s"] + row["wrk_system_s"]) / row["wall_s"]
        row["foreign_percent"] = 100 * (row["core_busy_ns"] - row["server_cpu_ns"]) / wall_ns
        rounds.append(row)
    return rounds


def spread(values, form):
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def ratios(floor, corelane):
    """For each figure the rounds' ratios of corelane to the floor, in the order of the rounds."""
    of_floor = {row["round"]: row for row in floor}
    return {
        name: [row[name] / max(of_floor[row["round"]][name], 1e-9) for row in corelane]
        for name, _, _ in RATIOS
    }


def warnings(server, rows):
    connections = rows[0]["connections"]
    server_percent = median(row["server_percent"] for row in rows)
    wrk_percent = median(row["wrk_percent"] for row in rows)
    foreign_percent = max(row["foreign_percent"] for row in rows)
    if connections > 1 and server_percent < SATURATED_PERCENT:
        yield f"{server} was not saturated: it used {server_percent:.1f} % of its core"
        if wrk_percent >= SATURATED_PERCENT:
            yield (
                f"wrk was the bottleneck against {server}: it used {wrk_percent:.1f} % of its core;"
                " compare CPU per request, not requests/s or latency"
            )
    if foreign_percent > FOREIGN_PERCENT:
        yield (
            f"other work took up to {foreign_percent:.1f} % of the core of {server}:"
            " repeat on a quiet machine"
        )


def print_workload(workload, floor, corelane):
    connections = floor[0]["connections"]
    print(f"\n{workload}: connections {connections}, rounds {len(floor)}, median (min-max)")
    line = "{:<24}{:>30}{:>30}{:>24}"
    print(line.format("", "floor", "corelane", "corelane / floor"))
    by_round = ratios(floor, corelane)
    for name, title, form in FIGURES:
        ratio = spread(by_round[name], "{:.3f}") if name in by_round else ""
        cells = [spread([row[name] for row in rows], form) for rows in (floor, corelane)]
        print(line.format(title, *cells, ratio))
    for warning in [*warnings("floor", floor), *warnings("corelane", corelane)]:
        print(f"  note: {warning}")


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def environment(options):
    here = Path(__file__).parent
    governor = Path(
        f"/sys/devices/system/cpu/cpu{options.server_core}/cpufreq/scaling_governor"
    )
    return {
        "commit": output_of("git", "-C", here, "rev-parse", "HEAD"),
        "is_modified": bool(output_of("git", "-C", here, "status", "--porcelain")),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu_model": cpu_model(),
        "cores": os.cpu_count(),
        "governor": governor.read_text().strip() if governor.exists() else None,
        "tcp_congestion_control": Path(
            "/proc/sys/net/ipv4/tcp_congestion_control"
        ).read_text().strip(),
        "load_average_1m": os.getloadavg()[0],
        "rustc": output_of("rustc", "--version"),
        "server_core": options.server_core,
        "load_core": options.load_core,
        "seconds": options.seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds")
    parser.add_argument("--json")
    parser.add_argument("--server-core", type=int, required=True)
    parser.add_argument("--load-core", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    options = parser.parse_args()

    rounds = read_rounds(options.rounds)
    about = environment(options)
    commit = f"{about['commit']}{' (modified)' if about['is_modified'] else ''}"
    print(f"{about['cpu_model']}, {about['cores']} cores, Linux {about['kernel']}, commit {commit}")
    summary = {}
    for workload in dict.fromkeys(row["workload"] for row in rounds):
        of_workload = [row for row in rounds if row["workload"] == workload]
        floor = [row for row in of_workload if row["server"] == "floor"]
        corelane = [row for row in of_workload if row["server"] == "corelane"]
        print_workload(workload, floor, corelane)
        summary[workload] = {
            name: {"median": median(values), "min": min(values), "max": max(values)}
            for name, values in ratios(floor, corelane).items()
        }
    if options.json:
        record = {"environment": about, "ratios_to_floor": summary, "rounds": rounds}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
