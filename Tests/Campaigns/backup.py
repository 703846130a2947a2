#!/usr/bin/env python3
"""Backups of a busy site, wiped and restored: how long, and whether everything that was acknowledged is there.

    make campaign NAME=backup                             five rounds, then one of 1 GiB
    make campaign NAME=backup ARGS="--rounds 20 --seed 7"

Each round: a site with a bridge to an aggregator and an offline session, a device that publishes at QoS 1 all the time, a
backup at a random moment, a kill, a wipe, a restore, a start. Passed is what shows 0 lost, 0 doubled, 0 missing. The last
round fills a journal with 1 GiB first; its backup must take less than a minute.

The controls must fail: a plain copy of the live folder, which the restore refuses, and archives with one byte changed.
Evidence goes to .build/evidence/backup.json. Ends with 1 if anything fails, or a control does not.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Integration"))

from support.chain import bridge, missing  # noqa: E402
from support.clients import Device  # noqa: E402
from support.nodes import Cloud, Site  # noqa: E402
from support.processes import run, wait_until  # noqa: E402

EVIDENCE = ROOT / ".build/evidence/backup.json"
BACKUP_SECONDS_MAX = 60.0
LARGE_BYTES = 1 << 30
PAYLOAD_BYTES = 64 << 10
UNDER_WAY_MAX = 64


class Publisher:
    """Publishes numbers at QoS 1, as many under way as allowed, on the calling thread."""

    def __init__(self, port):
        self.device = Device(port).connect()
        self.sent = {}
        self.number = 0

    def publish(self, count, filler=""):
        for _ in range(count):
            wait_until(lambda: len(self.sent) - len(self.device.acknowledged) < UNDER_WAY_MAX, "room")
            handle = self.device.client.publish("sales/7", f"load-{self.number}-{filler}", 1)
            self.sent[handle.mid] = self.number
            self.number += 1
            if self.number % 30_000 == 0:
                # Before packet identifiers come round again.
                self.settle()

    def settle(self):
        wait_until(lambda: len(self.device.acknowledged) >= len(self.sent), "all are acknowledged")
        self.done = getattr(self, "done", set()) | set(self.sent.values())
        self.sent.clear()
        self.device.acknowledged.clear()

    @property
    def acknowledged(self):
        known = set(self.device.acknowledged)
        return getattr(self, "done", set()) | {number for mid, number in list(self.sent.items()) if mid in known}


def number(payload):
    text = bytes(payload).decode() if not isinstance(payload, str) else payload
    return int(text.split("-")[1])


def stored(cloud):
    return [number(row[0]) for row in cloud.rows("SELECT payload FROM messages WHERE class != 'gap'")]


def offline_session(port, topic="sales/#"):
    with Device(port, client_id="till-1", clean=False, expiry=86_400) as device:
        device.subscribe(topic)


def backup_in_background(causeway, node, target):
    return subprocess.Popen(
        [str(causeway), "backup", "-c", str(node.file), "--to", str(target)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def one_round(causeway, folder, chance, index):
    head_office = Cloud(causeway, "head-office", folder / "cloud", {})
    store = Site(causeway, "store-0042", folder / "site", {"bridges": [bridge(head_office.port)]})
    store.configuration["log"] = head_office.configuration["log"] = {"level": "warning"}
    nodes = [store, head_office]
    try:
        if chance.random() < 0.7:
            head_office.start()
        store.start()
        offline_session(store.port)
        load = Publisher(store.port)
        load.publish(chance.randrange(200, 3_000))
        before = load.acknowledged
        target = folder / ("backup.tar" if chance.random() < 0.5 else "backup")
        started = time.monotonic()
        process = backup_in_background(causeway, store, target)
        while process.poll() is None:
            load.publish(20)
        seconds = time.monotonic() - started
        assert process.returncode == 0, process.stdout.read()
        load.publish(chance.randrange(0, 500))
        store.kill()
        shutil.rmtree(store.journal_folder)
        run([causeway, "restore", target, "-c", store.file], check=0)
        if not head_office.is_running:
            head_office.start()
        store.start()
        with Device(store.port, client_id="till-1", clean=False, expiry=86_400) as till:
            assert till.session_present, "the session is gone"
            wait_until(lambda: before <= {number(payload) for payload in till.payloads}, "all that was acknowledged")
            local = [number(payload) for payload in till.payloads]
        after = Publisher(store.port)
        after.number = 1_000_000
        after.publish(100)
        after.settle()
        wait_until(lambda: max(stored(head_office), default=0) >= 1_000_099, "the cloud has the last one", 120)
        wait_until(lambda: missing(head_office) == 0, "no number is missing", 120)
        rows = stored(head_office)
        wanted = before | set(range(1_000_000, 1_000_100))
        return {
            "round": index, "acknowledged_before": len(before), "seconds": round(seconds, 3),
            "lost_locally": len(before - set(local)), "doubled_locally": len(local) - len(set(local)),
            "lost_in_cloud": len(wanted - set(rows)), "doubled_in_cloud": len(rows) - len(set(rows)),
            "missing_numbers": missing(head_office), "archive": target.suffix == ".tar",
        }
    finally:
        for node in nodes:
            node.end_quietly()


def large_round(causeway, folder):
    """One gibibyte of journal: how long a backup takes, and a restore."""
    journal = {"path": "data", "max_bytes": "4GiB"}
    store = Site(causeway, "store-0042", folder / "site", {"journal": journal, "log": {"level": "warning"}})
    try:
        store.start()
        offline_session(store.port)
        load = Publisher(store.port)
        load.publish(LARGE_BYTES // PAYLOAD_BYTES, "x" * PAYLOAD_BYTES)
        load.settle()
        target = folder / "backup"
        started = time.monotonic()
        run([causeway, "backup", "-c", store.file, "--to", target], seconds=600, check=0)
        backup = time.monotonic() - started
        store.kill()
        shutil.rmtree(store.journal_folder)
        started = time.monotonic()
        run([causeway, "restore", target, "-c", store.file], seconds=600, check=0)
        restore = time.monotonic() - started
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        return {"bytes": size, "messages": load.number, "backup_seconds": round(backup, 2),
                "restore_seconds": round(restore, 2)}
    finally:
        store.end_quietly()


def controls(causeway, folder, chance):
    """What must be refused: plain copies of a live folder, and archives with a changed byte."""
    store = Site(causeway, "store-0042", folder / "site", {"log": {"level": "warning"}})
    refused = {"plain_copies": 0, "plain_copies_refused": 0, "changed_archives": 0, "changed_archives_refused": 0}
    try:
        store.start()
        offline_session(store.port)
        load = Publisher(store.port)
        load.publish(500)
        for index in range(5):
            copy = folder / f"copy-{index}"
            process = subprocess.Popen(["cp", "-r", str(store.journal_folder), str(copy)], stdin=subprocess.DEVNULL)
            while process.poll() is None:
                load.publish(5)
            result = run([causeway, "restore", copy, "--to", folder / f"from-copy-{index}"])
            refused["plain_copies"] += 1
            refused["plain_copies_refused"] += result.returncode != 0
        archive = folder / "backup.tar"
        run([causeway, "backup", "-c", store.file, "--to", archive], check=0)
        content = bytearray(archive.read_bytes())
        used = max(index for index, byte in enumerate(content) if byte)
        for index in range(20):
            place = chance.randrange(1024, used)
            changed = bytearray(content)
            changed[place] ^= 1 << chance.randrange(8)
            path = folder / "changed.tar"
            path.write_bytes(changed)
            target = folder / f"from-archive-{index}"
            result = run([causeway, "restore", path, "--to", target])
            refused["changed_archives"] += 1
            refused["changed_archives_refused"] += result.returncode != 0 and not target.exists()
        return refused
    finally:
        store.end_quietly()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--skip-large", action="store_true", help="without the gibibyte")
    options = parser.parse_args()
    causeway = pathlib.Path(os.environ.get("CAUSEWAY", ROOT / ".build/release/causeway"))
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    evidence = {"campaign": "backup", "seed": options.seed, "rounds": []}
    keys = ("lost_locally", "doubled_locally", "lost_in_cloud", "doubled_in_cloud", "missing_numbers")
    with tempfile.TemporaryDirectory(prefix="backup-") as scratch:
        scratch = pathlib.Path(scratch)
        for index in range(options.rounds):
            found = one_round(causeway, scratch / f"round-{index}", chance, index)
            evidence["rounds"].append(found)
            print(json.dumps(found), flush=True)
            shutil.rmtree(scratch / f"round-{index}")
        evidence["controls"] = controls(causeway, scratch / "controls", chance)
        print(json.dumps(evidence["controls"]), flush=True)
        shutil.rmtree(scratch / "controls")
        if not options.skip_large:
            evidence["large"] = large_round(causeway, scratch / "large")
            print(json.dumps(evidence["large"]), flush=True)
    control = evidence["controls"]
    evidence["passed"] = (
        all(found[key] == 0 for found in evidence["rounds"] for key in keys)
        and control["plain_copies_refused"] == control["plain_copies"]
        and control["changed_archives_refused"] == control["changed_archives"]
        and evidence.get("large", {"backup_seconds": 0})["backup_seconds"] < BACKUP_SECONDS_MAX
    )
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    EVIDENCE.write_text(json.dumps(evidence, indent=2) + "\n")
    print(f"{len(evidence['rounds'])} rounds: {'nothing lost, nothing doubled' if evidence['passed'] else 'FAILED'}")
    return 0 if evidence["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
