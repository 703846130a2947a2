#!/usr/bin/env python3
"""The table of a run: report.py .build/bench.json prints it, with --into FILE it replaces what stands there between
`<!-- bench: begin -->` and `<!-- bench: end -->`."""

import argparse
import json
import pathlib
import sys

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def goals(metric):
    """What has to be reached, and a mark if it is not."""
    if not metric["goals"]:
        return ""
    words = [goal["goal"] + (" **missed**" if goal["met"] is False else "") for goal in metric["goals"]]
    return ", ".join(words)


def lost(load):
    counts = load["lost"]
    return " / ".join(f"{counts[broker]:,.0f}" for broker in ("causeway", "mosquitto") if broker in counts)


def busy(load):
    shares = [load["generator_busy"].get(broker) for broker in ("causeway", "mosquitto")]
    return " / ".join("–" if share is None else f"{share:.0%}" for share in shares) if any(shares) else ""


def table(result):
    lines = [
        "| load | figure | Causeway | Mosquitto | ratio | to reach | lost (C / M) | generator busy (C / M) |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for load in result["loads"]:
        for index, metric in enumerate(load["metrics"]):
            first = index == 0
            lines.append(
                f"| {load['title'] if first else ''} | {metric['title']} | {number(metric['causeway'], metric['digits'])} "
                f"| {number(metric['mosquitto'], metric['digits'])} | {number(metric['ratio'], 2)} | {goals(metric)} "
                f"| {lost(load) if first else ''} | {busy(load) if first else ''} |"
            )
    return "\n".join(lines)


def text(result):
    machine, versions, settings = result["machine"], result["versions"], result["settings"]
    head = (
        f"{result['begun']}: {machine['processor']}, {machine['cpus']} CPUs, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"Linux {machine['kernel']}; Causeway {versions['causeway']} ({versions['commit']}), Mosquitto "
        f"{versions['mosquitto']}; medians of {settings['rounds']} rounds of {settings['seconds_each']:g} s, rounds "
        f"alternating, brokers on CPU {settings['broker_cpu']}, generators on CPU {settings['load_cpu']}; load average "
        f"before it began {machine['load_average_before']:.2f}."
    )
    failed = "".join(f"\n\nFailed: {line}" for line in result.get("failed", []))
    return f"{head}\n\n{table(result)}{failed}"


def main():
    parser = argparse.ArgumentParser(description="Prints the table of a run of make bench.")
    parser.add_argument("json")
    parser.add_argument("--into", metavar="FILE", help="a page that has the two markers")
    options = parser.parse_args()
    result = json.loads(pathlib.Path(options.json).read_text())
    if not options.into:
        print(text(result))
        return 0
    page = pathlib.Path(options.into)
    content = page.read_text()
    if content.count(BEGIN) != 1 or content.count(END) != 1:
        sys.exit(f"{page} does not hold {BEGIN} and {END} once each")
    before, rest = content.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text(result)}\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
