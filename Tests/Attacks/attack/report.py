"""The report of a run: for each case its tests, what was observed, and how the bystander fared."""

import json
import pathlib
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Report:
    def __init__(self, broker, is_campaign, seed, name="attacks"):
        self.broker = broker
        self.name = name
        self.is_campaign = is_campaign
        self.seed = seed
        self.rows = []

    @property
    def path(self):
        name = f"{self.name}.json" if self.broker == "causeway" else f"{self.name}-{self.broker}.json"
        return ROOT / ".build" / name

    def add(self, **row):
        self.rows.append(row)

    def write(self):
        if not self.rows:
            return
        self.path.parent.mkdir(exist_ok=True)
        cases = {}
        for row in self.rows:
            if row["case"]:
                cases.setdefault(row["case"], []).append(row["outcome"])
        document = {
            "broker": self.broker, "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "form": "campaign" if self.is_campaign else "short", "seed": self.seed,
            "cases": {case: summary(outcomes) for case, outcomes in sorted(cases.items(), key=order)},
            "tests": self.rows,
        }
        self.path.write_text(json.dumps(document, indent=1) + "\n")


def order(item):
    name = item[0] if isinstance(item, tuple) else item
    return name[0], int(name[1:])


def summary(outcomes):
    if any(outcome == "failed" for outcome in outcomes):
        return "failed"
    return "passed" if any(outcome == "passed" for outcome in outcomes) else "not run"
