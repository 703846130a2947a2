"""What every attack has around it: a broker, a bystander who works on, and a look at the broker's memory afterwards."""

import os
import pathlib
import statistics
import threading
import time

import pytest

from support.nodes import Mosquitto, Site
from support.processes import LOOPBACK, free_port, run, wait_until

from . import packets
from .peer import Closed, Peer

MEBIBYTE = 1 << 20
# What the broker may have grown by, once an attack is over and it has had time to settle.
GROWTH_MAX = 16 * MEBIBYTE
SETTLE_SECONDS = 30.0
# How long the bystander may wait for one message before it counts as cut off.
STARVED_SECONDS = 30.0
WARM_UP_ROUNDS = 10


# Stands for a record of a connection that the broker ended for what came on it.
VIOLATION = ("a violation",)


def holds(line, words):
    """Whether a record of the audit log is the one that is looked for."""
    if words is VIOLATION:
        ended = '"client.disconnected"' in line and '"reason"' in line and "the connection was lost" not in line
        return ended or '"protocol.violated"' in line
    return all(word in line for word in words)


class Bystander:
    """A client that was there before, sends itself messages all the time, and notes how long each took."""

    def __init__(self, target, **entry):
        self.target = target
        self.entry = entry
        self.round_trips = []
        self.trouble = None
        self.peak = 0
        self.stopping = threading.Event()
        self.thread = None

    def start(self):
        self.stopping.clear()
        self.peer = self.target.peer(**self.entry.get("transport", {}))
        self.peer.hears_bystander = True
        self.topic = self.entry.get("topic", "bystander/echo")
        self.peer.enter("bystander", **self.entry.get("connect", {}))
        assert self.peer.subscribe(self.topic)[0] < 0x80, "the bystander may not subscribe"
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        wanted = len(self.round_trips) + WARM_UP_ROUNDS
        wait_until(lambda: len(self.round_trips) >= wanted or self.trouble, "the bystander's first messages")
        assert not self.trouble, self.trouble

    def work(self):
        number = 0
        try:
            while not self.stopping.is_set():
                number += 1
                started = time.monotonic()
                self.peer.send(packets.publish(self.topic, str(number)))
                while not (self.peer.messages and self.peer.messages[-1].payload == str(number).encode()):
                    if self.peer.step(STARVED_SECONDS) is None:
                        self.trouble = f"the bystander got no message for {STARVED_SECONDS:.0f} s"
                        return
                self.round_trips.append(time.monotonic() - started)
                self.peer.messages.clear()
                self.peak = max(self.peak, self.target.resident())
                self.stopping.wait(0.005)
        except (Closed, OSError, AssertionError) as error:
            if not self.stopping.is_set():
                self.trouble = f"the bystander was cut off: {error!r}"

    def stop(self):
        if self.thread is None:
            return
        self.stopping.set()
        self.thread.join(STARVED_SECONDS + 10)
        self.thread = None
        self.peer.close()


class Target:
    """A broker under attack."""

    def __init__(self, node, port, bystander, growth=GROWTH_MAX):
        self.node = node
        self.port = port
        self.growth = growth
        self.bystander = Bystander(self, **bystander) if bystander is not None else None
        self.before = 0
        self.after = 0
        self.audits = []

    def peer(self, version=packets.V5, **options):
        return Peer(options.pop("port", self.port), version, **options)

    @property
    def is_mosquitto(self):
        return isinstance(self.node, Mosquitto)

    @property
    def pid(self):
        return self.node.process.process.pid

    def resident(self):
        """Resident memory in bytes; 0 when the process is gone."""
        try:
            for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def watch(self):
        """The bystander begins, and what the broker's memory is now counts as before the attack."""
        if self.bystander:
            self.bystander.start()
        self.before = self.resident()

    def unwatch(self):
        if self.bystander:
            self.bystander.stop()

    def restart(self, kill=True):
        """The broker ends and comes again; the bystander looks away meanwhile."""
        self.unwatch()
        self.node.kill() if kill else self.node.stop()
        self.node.start()
        if self.bystander:
            self.bystander.start()

    @property
    def audit_folder(self):
        audit = getattr(self.node, "configuration", {}).get("audit")
        return self.node.folder / audit["path"] if audit else None

    def audit_lines(self):
        """The records of the audit log, as text."""
        if self.audit_folder is None or not self.audit_folder.exists():
            return []
        files = sorted(path for path in self.audit_folder.iterdir() if path.is_file())
        return [line for path in files for line in path.read_text(errors="replace").splitlines() if line[:1] == "{"]

    def expect_audit(self, *words):
        """Where the site keeps an audit log, a record must hold all these words."""
        self.audits.append(words)

    def expect_violation(self):
        """Where the site keeps an audit log, it must say that a connection was ended for what came on it."""
        self.audits.append(VIOLATION)

    def judge(self):
        """After the attack: what is wrong with the broker. An empty list is what a test wants."""
        wrong = []
        if not self.node.is_running:
            status = self.node.process.process.returncode
            return [f"the broker ended with {status}"]
        if self.bystander:
            rounds = len(self.bystander.round_trips)
            wait = threading.Event()
            deadline = time.monotonic() + STARVED_SECONDS
            while len(self.bystander.round_trips) < rounds + 3 and not self.bystander.trouble:
                if time.monotonic() > deadline:
                    wrong.append("the bystander's messages no longer come")
                    break
                wait.wait(0.01)
            if self.bystander.trouble:
                wrong.append(self.bystander.trouble)
        deadline = time.monotonic() + SETTLE_SECONDS
        while (growth := self.resident() - self.before) >= self.growth and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        self.after = self.resident()
        if growth >= self.growth:
            wrong.append(f"{growth / MEBIBYTE:.1f} MiB more in memory after the attack")
        is_kept = self.audit_folder is not None and (
            self.audit_folder.exists() or "CAUSEWAY_PARTIAL" not in os.environ
        )
        if is_kept:
            for words in self.audits:
                def found():
                    return any(holds(line, words) for line in self.audit_lines())
                try:
                    wait_until(found, "an audit record", 5)
                except AssertionError:
                    wrong.append(f"no audit record with {words}")
        return wrong

    def figures(self):
        trips = sorted(self.bystander.round_trips) if self.bystander else []
        figures = {
            "memory_before": self.before, "memory_after": self.after,
            "memory_peak": self.bystander.peak if self.bystander else None,
        }
        if trips:
            figures["round_trips"] = {
                "count": len(trips), "p50_ms": round(statistics.median(trips) * 1000, 3),
                "p99_ms": round(trips[int(len(trips) * 0.99)] * 1000, 3), "max_ms": round(trips[-1] * 1000, 3),
            }
        return figures


class Arena:
    """Starts what a test attacks, and judges it when the test is over."""

    def __init__(self, causeway, broker, folder, nodes, is_campaign, defaults):
        self.causeway = causeway
        self.broker = broker
        self.folder = folder
        self.nodes = nodes
        self.is_campaign = is_campaign
        self.defaults = defaults
        self.targets = []
        self.notes = {}
        self.numbers = 0

    @property
    def is_mosquitto(self):
        return self.broker == "mosquitto"

    def scaled(self, short, full):
        """A count: small in `make test`, as the catalogue asks in the campaign."""
        return full if self.is_campaign else short

    def note(self, name, value):
        """Something observed, for the report."""
        self.notes[name] = value

    def path(self, name, content=None, mode=0o600):
        """A file of the test."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content)
            path.chmod(mode)
        return path

    def start(self, mosquitto=(), needs=(), bystander=None, growth=GROWTH_MAX, watch=True, **configuration):
        """A running broker with a bystander.

        `needs` names the options that an older executable may not know yet; `mosquitto` are the lines that make stock
        mosquitto comparable. `bystander` tells how the bystander enters; False for none.
        """
        self.numbers += 1
        name = f"target-{self.numbers}"
        if self.is_mosquitto:
            node = Mosquitto(name, self.folder / name, lines=["log_type none", *mosquitto])
            if any(line.startswith("allow_anonymous") for line in mosquitto):
                node.lines.remove("allow_anonymous true")
        else:
            for option, value in self.defaults.items():
                configuration[option] = {**value, **configuration.get(option, {})}
            configuration.setdefault("log", {"level": "info"})
            node = Site(self.causeway, name, self.folder / name, configuration)
            self.refuse_unknown(node, needs)
        self.nodes.append(node)
        node.start()
        target = Target(node, node.port, None if bystander is False else bystander or {}, growth)
        self.targets.append(target)
        if watch:
            target.watch()
        return target

    def site(self, **configuration):
        """A site that nobody watches, or None when it refuses its configuration, with the line."""
        self.numbers += 1
        name = f"site-{self.numbers}"
        node = Site(self.causeway, name, self.folder / name, configuration)
        node.write()
        checked = run([self.causeway, "check", "-c", node.file], cwd=node.folder)
        assert checked.returncode >= 0, f"check ended by signal {-checked.returncode}"
        if checked.returncode:
            assert "site.yaml:" in checked.stdout + checked.stderr, checked.stdout + checked.stderr
            return None
        self.nodes.append(node)
        return node.start()

    def refuse_unknown(self, node, needs):
        """Whether the executable knows what the attack is aimed at, asked of `causeway check`."""
        if not needs:
            return
        node.write()
        checked = run([self.causeway, "check", "-c", node.file], cwd=node.folder)
        said = checked.stdout + checked.stderr
        unknown = [
            option for option in needs
            if f"unknown setting '{option}'" in said or f"{option}: expected a list, found a mapping" in said
        ]
        if checked.returncode != 0 and unknown:
            skip_or_fail(f"the executable does not know {', '.join(unknown)} yet")

    def judge(self):
        wrong = [problem for target in self.targets for problem in target.judge()]
        for target in self.targets:
            target.unwatch()
        return wrong

    def configuration_is_refused(self, name, text, *words):
        """Starts a site from a text and expects it to refuse: exit status > 0, the words said. Returns what it said."""
        file = self.path(f"{name}/site.yaml", text)
        result = run([self.causeway, "site", "-c", file], seconds=30, cwd=file.parent)
        said = result.stdout + result.stderr
        assert result.returncode > 0, f"{name}: exit {result.returncode}: {said}"
        for word in words:
            assert word in said, f"{name}: '{word}' is not in: {said}"
        return said


def listener(port=None, **options):
    """An entry of `listeners:` on loopback."""
    return {"bind": f"{LOOPBACK}:{port or free_port()}", **options}


def skip_or_fail(reason):
    """An attack that cannot be made is a failure, unless somebody works on it and says so."""
    if os.environ.get("CAUSEWAY_PARTIAL"):
        pytest.skip(reason)
    pytest.fail(reason, pytrace=False)
