"""Writes the results into Docs/Durability.md from the evidence files, between its two marks.

    cd Tests/Campaigns && python3 -m faults.table
"""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "Docs/Durability.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
CAMPAIGNS = ["kill", "power", "syscall", "eio", "corrupt", "diskfull", "memory", "clock", "qos2", "history", "recovery",
             "upgrade"]
# What of the counts a reader wants first.
SHOWN = {
    "kill": ["cuts", "queued", "acknowledged", "acknowledged_qos2", "lost", "qos2_duplicates", "wills",
             "serving_seconds_max", "serving_processor_seconds_max", "resident_bytes_max"],
    "syscall": ["points", "kills", "acknowledged", "lost"],
    "eio": ["points", "failures", "acknowledged", "lost", "readiness_seconds_max"],
    "corrupt": ["mutations", "missing", "reported", "refused"],
    "diskfull": ["cycles", "acknowledged", "lost", "refused", "alarms_taken", "readiness_seconds_max", "recovery_seconds_max"],
    "memory": ["messages", "resident_bytes_max", "p99_quiet", "p99_flooded"],
    "clock": ["steps", "acknowledged", "lasting_delivered", "short_delivered"],
    "qos2": ["cuts", "exactly_once", "lost", "twice"],
    "history": ["acknowledged", "delivered", "clients", "cuts", "kills", "lost", "repeated", "reordered", "mutants_caught"],
    "recovery": ["queued", "sessions", "delivered", "serving_seconds_after_kill", "processor_seconds_after_kill",
                 "resident_bytes_after_kill", "serving_seconds_after_term"],
    "upgrade": ["restarts", "acknowledged", "end_seconds_max", "messages_of_earlier_program"],
}
SHOWN["power"] = SHOWN["kill"]


def value(name, number):
    if name.endswith("bytes_max") or name.startswith("resident_bytes"):
        return f"{number / (1 << 20):.0f} MiB"
    if "seconds" in name or name.startswith("p99"):
        return f"{number:.2f} s"
    return f"{number:,.0f}"


def row(report):
    counts = report["counts"]
    shown = [f"{name.replace('_', ' ')}: {value(name, counts[name])}" for name in SHOWN[report["campaign"]] if name in counts]
    failed = [name for name, holds in report["checks"].items() if not holds]
    controls = sum(report["controls"].values())
    result = "passed" if report["passed"] else f"**failed**: {'; '.join(failed) or 'a control'}"
    return (f"| {report['campaign']} | {result} | {'; '.join(shown)} | {controls} of {len(report['controls'])} seen | "
            f"{report['seed']} | {report['begun'][:10]}, {report['seconds']:.0f} s |")


def main():
    lines = ["| Campaign | Result | Counts | Controls | Seed | When |", "|---|---|---|---|---|---|"]
    for name in CAMPAIGNS:
        path = ROOT / f".build/evidence/{name}.json"
        if path.exists():
            lines.append(row(json.loads(path.read_text())))
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    DOCUMENT.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
