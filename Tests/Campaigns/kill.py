#!/usr/bin/env python3
"""kill -9 of a site at random instants under load: nothing acknowledged is lost, nothing of QoS 2 comes twice.

Four publishers (QoS 1 and 2, MQTT 3.1.1 and 5.0) with sessions of their own; persistent subscribers that are there and
that are away; retained messages; wills. After every kill the site starts again with a million messages queued for
somebody else, everybody comes back, and what was acknowledged is compared with what arrived. The control is Mosquitto
as Debian ships it with persistence, which must be seen to lose.

    make campaign NAME=kill ARGS="--rounds 200 --seed 1"
"""

from faults.evidence import main
from faults.rounds import Rounds, control_on_mosquitto


def body(campaign, options):
    Rounds(campaign, options).play(options.rounds)
    control_on_mosquitto(campaign, rounds=2)


if __name__ == "__main__":
    main("kill", body, [("rounds", 200, "kills"), ("queued", 1_000_000, "messages queued for a session that is away")],
         __doc__)
