#!/usr/bin/env python3
"""Fifty restarts in order under load, the journal of the program before, and that of one to come.

SIGTERM must end the site within five seconds with status 0; clients of 5.0 are told 0x8B; no will is published for it;
nothing is lost. The fixture in Tests/Fixtures/journal was written by an earlier program: its sessions, messages and
retained message must be there. With a newer format version in its headers it must be refused in words, with every byte as
it was. The controls: a will of a client whose connection broke is published, and a kill is not told as 0x8B.

    make campaign NAME=upgrade ARGS="--restarts 50 --seed 1"
"""

import hashlib
import shutil
import time

from faults.evidence import ROOT, main
from faults.journal_files import with_version
from faults.load import Publisher, Subscriber, payload
from faults.peer import Broken, Peer, connect_all, hear_out, run, subscribe_all
from faults.rounds import wait_while_coming
from faults.site import FaultSite

FIXTURE = ROOT / "Tests/Fixtures/journal"
FILTERS = [("load/q1/#", 1), ("load/q2/#", 2), ("wills/#", 2)]
END_SECONDS_MAX = 5.0
SERVER_SHUTTING_DOWN = 0x8B
# What the fixture holds for the session "sleeper": numbers of the publishers p1 (QoS 1) and p2 (QoS 2).
FIXTURE_MESSAGES = 60


def rolling(campaign, restarts):
    site = FaultSite(campaign.binary, "rolling-site", campaign.folder / "rolling-site")
    publishers = [Publisher("a1", 1, 4), Publisher("b1", 1, 5), Publisher("a2", 2, 4), Publisher("b2", 2, 5)]
    watcher, sleeper = Subscriber("watcher", FILTERS, 5), Subscriber("sleeper", FILTERS, 4)
    with_will = [Peer(f"will{v}", v, False, (f"wills/will{v}", payload(f"will{v}", 0), 2)) for v in (4, 5)]
    everybody = [*publishers, watcher, *with_will]
    try:
        site.start()
        for subscriber in (watcher, sleeper):
            connect_all([subscriber], site.port)
            subscribe_all(subscriber, FILTERS)
        sleeper.leave()
        connect_all([*publishers, *with_will], site.port)
        for _ in range(restarts):
            end = time.monotonic() + campaign.random.uniform(0.05, 0.4)
            run(everybody, lambda: time.monotonic() > end)
            begun = time.monotonic()
            site.process.process.terminate()
            run(everybody, lambda: not site.is_running, 2 * END_SECONDS_MAX, "the site ends")
            seconds = time.monotonic() - begun
            hear_out(everybody)
            campaign.most(end_seconds_max=seconds)
            campaign.check("it ends within five seconds", seconds < END_SECONDS_MAX, f"{seconds:.1f} s")
            campaign.check("it ends with status 0", site.process.process.returncode == 0)
            told = [peer.disconnect_reason for peer in everybody if peer.version == 5]
            campaign.check("5.0 is told 0x8B", all(reason == SERVER_SHUTTING_DOWN for reason in told), f"{told}")
            campaign.count(restarts=1, told=len(told))
            for peer in everybody:
                peer.drop()
            site.serve()
            connect_all(everybody, site.port)
            campaign.check("every session is present", all(peer.session_present for peer in everybody))
        for publisher in publishers:
            publisher.is_paused = True
        connect_all([sleeper], site.port)
        subscribers = [watcher, sleeper]
        run(everybody, lambda: not any(p.unanswered for p in publishers), what="open exchanges end")
        wait_while_coming(subscribers, lambda: all(s.has_all(publishers) for s in subscribers))
        for subscriber in subscribers:
            for key, value in subscriber.anomalies(publishers).items():
                campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{value}")
            campaign.check("no false wills", not subscriber.wills, f"{subscriber.wills}")
        campaign.count(acknowledged=sum(p.accepted for p in publishers))
        # Controls: a connection that breaks has its will, a site that is killed says nothing.
        with_will[0].drop()
        seen = run([watcher, *publishers], lambda: watcher.wills, 10, check=False)
        campaign.control("a_true_will_is_seen", seen)
        site.kill()
        hear_out([with_will[1]])
        campaign.control("a_kill_is_not_told", with_will[1].disconnect_reason is None)
    finally:
        site.end_quietly()


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def formats(campaign):
    """The fixture opens; a newer one is refused and left alone."""
    folder = campaign.folder / "older"
    shutil.copytree(FIXTURE, folder / "data")
    site = FaultSite(campaign.binary, "older", folder, folder / "data", segment="64KiB")
    sleeper = Subscriber("sleeper", FILTERS, 5)
    publishers = [Publisher("p1", 1), Publisher("p2", 2)]
    for publisher in publishers:
        publisher.next = FIXTURE_MESSAGES
        publisher.acknowledged = bytearray(b"\1" * FIXTURE_MESSAGES)
    try:
        site.serve()
        connect_all([sleeper], site.port)
        run([sleeper], lambda: sleeper.has_all(publishers), 10, check=False)
        retained = Subscriber("reader", [])
        connect_all([retained], site.port)
        subscribe_all(retained, [("state/#", 1)])
        run([retained], lambda: retained.retained, 5, check=False)
        found = sleeper.anomalies(publishers)
        campaign.check("the journal of an earlier program opens", sleeper.session_present and not any(found.values()), f"{found}")
        campaign.check("its retained message is there", retained.retained.get("p1") == 7, f"{retained.retained}")
        campaign.count(messages_of_earlier_program=sleeper.total)
    finally:
        site.end_quietly()
    newer = campaign.folder / "newer"
    shutil.copytree(FIXTURE, newer / "data")
    for path in (newer / "data" / "journal").iterdir():
        if path.suffix in (".segment", ".checkpoint", ".id"):
            path.write_bytes(with_version(path.read_bytes(), 99))
    before = digest(newer / "data")
    site = FaultSite(campaign.binary, "newer", newer, newer / "data", segment="64KiB")
    try:
        try:
            site.serve(30)
            campaign.check("a newer journal is refused", False, "it was opened")
        except Broken:
            campaign.check("a newer journal is refused", site.process.process.returncode not in (0, None))
            campaign.check("the refusal says why", "format version 99" in site.log, site.log[-500:])
    finally:
        site.end_quietly()
    after = digest(newer / "data")
    after.pop("journal.lock", None)
    before.pop("journal.lock", None)
    campaign.check("a newer journal is left as it was", before == after)


def body(campaign, options):
    formats(campaign)
    rolling(campaign, options.restarts)


if __name__ == "__main__":
    main("upgrade", body, [("restarts", 50, "restarts in order")], __doc__)
