"""Keeps the runs of compare.sh as lines of JSON, and prints what they come to.

A line is a report of corelane-load with its workload, server and round; the curves of its
distributions are left out, the percentiles stay. Printed are medians with their range and, because
all servers ran in each round, the median of the rounds' ratios, never a ratio of medians.
Deliberately knows nothing of targets: those stand in the description of the workloads.
"""

import argparse
import json
from pathlib import Path
from statistics import median

FLOOR = "floor"
FIGURES = [
    ("answers/s", "{:,.0f}", lambda call: call["answers_per_s"]),
    ("p50 us", "{:,.1f}", lambda call: call["latency"]["p50_ns"] / 1e3),
    ("p99 us", "{:,.1f}", lambda call: call["latency"]["p99_ns"] / 1e3),
    ("p99.9 us", "{:,.1f}", lambda call: call["latency"]["p999_ns"] / 1e3),
    ("server CPU us/answer", "{:.3f}", lambda call: call["server"]["cpu_us_per_answer"]),
    ("server % of core", "{:.1f}", lambda call: call["server"]["busiest_thread_percent"]),
]


def without_curves(value):
    if isinstance(value, dict):
        return {name: without_curves(part) for name, part in value.items() if name != "curve"}
    if isinstance(value, list):
        return [without_curves(part) for part in value]
    return value


def add(options):
    report = without_curves(json.loads(Path(options.report).read_text()))
    # Each second of each run is of no use to whoever compares runs.
    report["outcome"].pop("timeline", None)
    line = {
        "workload": options.workload,
        "server": options.server,
        "round": options.round,
        "report": report,
    }
    with open(options.record, "a") as record:
        record.write(json.dumps(line, separators=(",", ":")) + "\n")


def spread(values, form):
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def print_workload(workload, runs):
    servers = list(dict.fromkeys(run["server"] for run in runs))
    by_server = {name: [run for run in runs if run["server"] == name] for name in servers}
    floor = {run["round"]: run["report"]["outcome"] for run in by_server.get(FLOOR, [])}
    pace = runs[0]["report"]["outcome"]["load"]["pace"]
    at = f" at {pace['from_per_s']:,.0f}/s" if pace["loop"] == "open" else ""
    rounds = len(runs) // len(servers)
    print(f"\n{workload}{at}: {rounds} rounds, median (min-max), x the floor")
    for title, form, figure in FIGURES:
        print(f"  {title}")
        for name in servers:
            values = [figure(run["report"]["outcome"]) for run in by_server[name]]
            pairs = [(run, floor.get(run["round"])) for run in by_server[name]]
            ratios = [
                figure(run["report"]["outcome"]) / max(figure(of_floor), 1e-9)
                for run, of_floor in pairs
                if of_floor
            ]
            ratio = "" if name == FLOOR or not ratios else spread(ratios, "{:.3f}")
            print(f"    {name:<16}{spread(values, form):>40}{ratio:>26}")
    for name in servers:
        for reason in {why for run in by_server[name] for why in run["report"]["invalid"]}:
            print(f"  note: {name}: {reason}")
        if all(run["report"]["outcome"]["server"]["busiest_thread_percent"] < 95
               for run in by_server[name]):
            print(f"  note: {name} was not saturated: compare its CPU per answer, not answers/s")


def show(options):
    runs = [json.loads(line) for line in Path(options.record).read_text().splitlines()]
    about = runs[-1]["report"]["environment"]
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, {about['commit']}")
    for workload in dict.fromkeys(run["workload"] for run in runs):
        print_workload(workload, [run for run in runs if run["workload"] == workload])
    print(f"\nrecord: {options.record}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    adding = commands.add_parser("add")
    adding.add_argument("record")
    adding.add_argument("report")
    adding.add_argument("--workload", required=True)
    adding.add_argument("--server", required=True)
    adding.add_argument("--round", type=int, required=True)
    adding.set_defaults(run=add)
    printing = commands.add_parser("print")
    printing.add_argument("record")
    printing.set_defaults(run=show)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
