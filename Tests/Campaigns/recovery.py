#!/usr/bin/env python3
"""How long a site takes to serve again with a million messages queued and ten thousand sessions, and in how much memory.

Once after kill -9 and once after SIGTERM; then the million is taken by its session and counted. The control is a site
whose journal was emptied, where the count must miss everything.

    make campaign NAME=recovery ARGS="--messages 1000000 --sessions 10000"
"""

import shutil

from faults.evidence import main
from faults.load import Publisher, Subscriber
from faults.peer import Peer, connect_all, run, subscribe_all
from faults.site import FaultSite

READY_SECONDS_MAX = 3.0
RESIDENT_BYTES_MAX = 400 << 20
AT_ONCE = 100


def make_sessions(site, count):
    """Persistent sessions with a subscription each, whose clients go again."""
    for first in range(0, count, AT_ONCE):
        peers = [Peer(f"session-{n}", 5) for n in range(first, min(count, first + AT_ONCE))]
        connect_all(peers, site.port)
        asked = [(peer, peer.subscribe(f"floor/{peer.name}/#", 1)) for peer in peers]
        run(peers, lambda: all(identifier in peer.granted for peer, identifier in asked), what="SUBACKs")
        for peer in peers:
            peer.leave()


def body(campaign, options):
    site = FaultSite(campaign.binary, "recovery-site", campaign.folder / "recovery-site", segment="64MiB")
    keeper = Subscriber("keeper", [])
    filler = Publisher("filler", 1, window=2000, size=64, topic="hoard/h")
    filler.limit = options.messages
    try:
        site.start()
        make_sessions(site, options.sessions)
        campaign.say(f"{options.sessions} sessions")
        connect_all([keeper], site.port)
        subscribe_all(keeper, [("hoard/#", 1)])
        keeper.leave()
        connect_all([filler], site.port)
        run([filler], lambda: filler.accepted >= options.messages, 900, "the messages are queued")
        campaign.say(f"{filler.accepted} messages queued")
        for how, end in (("kill", site.kill), ("term", site.stop)):
            end()
            filler.drop()
            seconds = site.serve(120)
            processor = site.processor_seconds()
            resident = site.memory()
            campaign.most(**{f"serving_seconds_after_{how}": seconds, f"processor_seconds_after_{how}": processor,
                             f"resident_bytes_after_{how}": resident})
            campaign.check_serving(f"serving within {READY_SECONDS_MAX:.0f} s", READY_SECONDS_MAX, seconds, processor)
            campaign.check("resident below 400 MiB", resident < RESIDENT_BYTES_MAX, f"{resident >> 20} MiB")
            campaign.say(f"after {how}: serving after {seconds:.2f} s ({processor:.2f} s of CPU), {resident >> 20} MiB")
        sample = [Peer(f"session-{campaign.random.randrange(options.sessions)}", 5) for _ in range(50)]
        sample = list({peer.name: peer for peer in sample}.values())
        connect_all(sample, site.port)
        campaign.check("every session is present", all(peer.session_present for peer in sample))
        connect_all([keeper], site.port)
        campaign.check("every session is present", keeper.session_present)
        run([keeper], lambda: keeper.has_all([filler]), 900, check=False)
        for key, value in keeper.anomalies([filler]).items():
            campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{value}")
        campaign.count(sessions=options.sessions, queued=filler.accepted, delivered=keeper.total)
        site.kill()
        shutil.rmtree(site.journal_folder)
        site.serve()
        empty = Subscriber("keeper", [])
        connect_all([empty], site.port)
        run([empty], lambda: empty.has_all([filler]), 1, check=False)
        campaign.control("an_emptied_journal_is_seen", not empty.session_present and len(empty.lacks(filler)) == filler.accepted)
    finally:
        site.end_quietly()


if __name__ == "__main__":
    main("recovery", body, [("messages", 1_000_000, "queued"), ("sessions", 10_000, "persistent sessions")], __doc__)
