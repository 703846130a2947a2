"""A campaign's frame: options, seed, what was found, and the file that says so."""

import argparse
import json
import os
import pathlib
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from .site import binary_from_environment

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Campaign:
    """One run of a campaign: its seed, its folder and its findings."""

    def __init__(self, name, seed, binary, folder, quiet=False):
        self.name = name
        self.seed = seed
        self.random = random.Random(seed)
        self.binary = binary
        self.folder = folder
        self.counts = {}
        self.checks = {}
        self.controls = {}
        self.quiet = quiet
        self.begun = time.time()

    def say(self, text):
        print(f"[{time.time() - self.begun:6.1f} s] {text}", flush=True)

    def count(self, **more):
        for key, value in more.items():
            self.counts[key] = self.counts.get(key, 0) + value

    def most(self, **more):
        for key, value in more.items():
            self.counts[key] = max(self.counts.get(key, value), value)

    def check(self, name, holds, detail=""):
        """A promise that held or did not; one failure makes it false for good."""
        self.checks[name] = self.checks.get(name, True) and bool(holds)
        if not holds:
            self.say(f"FAILED {name}: {detail}")

    def check_serving(self, name, seconds_max, seconds, processor_seconds):
        """Whether a site served in time. On a machine whose CPUs others want too, what it computed counts instead."""
        is_shared = os.getloadavg()[0] > 1.5 * os.cpu_count()
        if is_shared:
            self.counts["timed_on_a_busy_machine"] = self.counts.get("timed_on_a_busy_machine", 0) + 1
        taken = min(seconds, processor_seconds) if is_shared else seconds
        self.check(name, taken < seconds_max, f"{seconds:.2f} s, {processor_seconds:.2f} s of CPU")

    def control(self, name, is_seen, detail=""):
        """A control: the fault that the campaign must be able to see, and whether it did."""
        self.controls[name] = self.controls.get(name, False) or bool(is_seen)
        self.say(f"control {name}: {'seen, as it must be' if is_seen else 'NOT seen'} {detail}")

    @property
    def passed(self):
        return bool(self.checks) and all(self.checks.values()) and all(self.controls.values())

    def report(self, parameters):
        lines = subprocess.run([str(self.binary), "version"], capture_output=True, text=True).stdout.splitlines()
        return {
            "campaign": self.name,
            "passed": self.passed,
            "seed": self.seed,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.begun)),
            "seconds": round(time.time() - self.begun, 1),
            "version": lines[0] if lines else "unknown",
            "machine": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
            "parameters": parameters,
            "counts": {key: round(value, 4) for key, value in self.counts.items()},
            "checks": self.checks,
            "controls": self.controls,
        }


def main(name, body, arguments=(), description=""):
    """Runs `body(campaign, options)` and writes its evidence. `arguments`: (name, default, help) of numbers."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="repeats a run")
    parser.add_argument("--evidence", type=pathlib.Path, default=ROOT / f".build/evidence/{name}.json")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    for option, default, text in arguments:
        parser.add_argument(f"--{option}", type=type(default), default=default, help=f"{text} (default {default})")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"causeway-{name}-"))
    campaign = Campaign(name, options.seed, binary_from_environment(), folder)
    print(f"campaign {name}, seed {options.seed}", flush=True)
    try:
        body(campaign, options)
    except (Exception, KeyboardInterrupt):
        traceback.print_exc()
        campaign.check("the campaign ran to its end", False, "see above")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    parameters = {option: getattr(options, option.replace("-", "_")) for option, _, _ in arguments}
    report = campaign.report(parameters)
    options.evidence.parent.mkdir(parents=True, exist_ok=True)
    options.evidence.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({key: report[key] for key in ("seed", "counts", "checks", "controls")}, indent=1))
    print(f"{name}: {'passed' if report['passed'] else 'FAILED'} in {report['seconds']} s, {options.evidence}")
    sys.exit(0 if report["passed"] else 1)
