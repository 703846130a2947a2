"""Who gets what, under rules that change all the time: random sequences against a naive oracle, and the oracle itself."""

import json
import random

import pytest

from attack.oracle import REVOCATION_SECONDS, judge, matches
from attack.oracle_faults import FAULTS
from attack.oracle_run import AclFile, DynamicSecurity, play
from attack.report import ROOT



def step(op, client, got=None, outcome=None, **more):
    return {"op": op, "client": client, "outcome": outcome or {}, "got": got or {}, **more}


ENTERED = {"reason": 0, "session_present": False}
# A right run by hand: it has a place for the faults that random runs seldom have one for.
SCRIPT = [
    step("rules", "u0", lines=[["readwrite", "t/#"]]), step("connect", "u0", outcome=ENTERED, clean=True),
    step("rules", "u1", lines=[["readwrite", "t/#"]]),
    step("connect", "u1", outcome=ENTERED, clean=False, will=["t/w", "will 1"]),
    step("subscribe", "u0", outcome={"reason": 1}, filter="t/#"),
    step("subscribe", "u1", outcome={"reason": 1}, filter="t/#"),
    step("rules", "u1", lines=[["read", "t/#"]]), step("drop", "u1"),
    step("publish", "u0", {"u0": ["message 2"]}, {"reason": 0}, topic="t/a", payload="message 2", qos=1, retain=False),
    step("rules", "u1", lines=[["deny", "t/#"]]),
    step("connect", "u1", outcome={"reason": 0, "session_present": True}, clean=False),
    step("publish", "u0", {"u0": ["message 3"]}, {"reason": 0}, topic="t/b", payload="message 3", qos=1, retain=True),
    step("race", "u1", {"u0": ["message 4", "message 5"], "u1": ["message 4"]}, {"reasons": [0, 0]}, publisher="u0",
         lines=[["read", "t/b"]], messages=[["t/b", "message 4"], ["t/c", "message 5"]], took=0.01),
    step("rules", "u1", lines=[["read", "t/#"]]),
    step("race", "u1", {"u0": ["message 7"], "u1": ["message 7"]}, {"reasons": [0]}, publisher="u0",
         lines=[["deny", "t/#"]], messages=[["t/b", "message 7"]], took=0.01),
    step("race", "u1", {"u0": ["message 6"]}, {"reasons": [0]}, publisher="u0", lines=[["deny", "t/#"], ["read", "t/b"]],
         messages=[["t/b", "message 6"]], took=0.01),
    step("rules", "u0", lines=[["read", "t/#"]]),
    step("subscribe", "u0", outcome={"reason": 1}, filter="t/b"),
]
# Runs that were right, for planting faults into; the tests that run sequences add theirs.
right = [SCRIPT]


@pytest.mark.parametrize("backend_class", [AclFile, DynamicSecurity], ids=lambda kind: kind.name)
def test_s7_nobody_gets_too_much_or_too_little(request, arena, backend_class, seed):
    """Users, rules, subscriptions, retained messages, wills, groups, takeovers and revocations in random order."""
    count = request.config.getoption("--sequences") or arena.scaled(30, 1_000)
    backend = backend_class(arena.folder)
    target = arena.start(needs=["access"], bystander=False, growth=64 << 20, **backend.configuration)
    source = random.Random(f"{seed}/{backend.name}")
    seeds = [source.randrange(1 << 32) for _ in range(count)]
    problems, deliveries, changes = [], 0, []
    for number, steps, took in play(target, backend, seeds):
        found = judge(steps)
        problems += [f"sequence {number}, step {index}: {kind}: {what}" for index, kind, what in found]
        if found:
            # The whole sequence, to be looked at.
            (ROOT / f".build/oracle-{backend.name}-{number}.json").write_text(json.dumps([found, steps], indent=1))
        else:
            right.append(steps)
        deliveries += sum(len(payloads) for step in steps for payloads in step["got"].values())
        changes += took
    arena.note("sequences", count)
    arena.note("deliveries", deliveries)
    arena.note("unauthorised", sum("unauthorised" in problem for problem in problems))
    arena.note("denied", sum("denied" in problem for problem in problems))
    changes.sort()
    arena.note("changes that took longer than a second", sum(took > REVOCATION_SECONDS for took in changes))
    arena.note("seconds a change took, median and longest", [round(changes[len(changes) // 2], 3), round(changes[-1], 3)])
    assert not problems, "\n".join(problems[:20])
    assert deliveries > count * 3, "hardly anything was delivered: the sequences prove nothing"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_s7_the_judge_catches_a_planted_fault(fault):
    """Each defect planted into a run that was right: found, every time."""
    assert not judge(SCRIPT)
    planted = 0
    for steps in right:
        spoilt = fault(steps)
        if spoilt is None:
            continue
        assert judge(spoilt), fault.__name__
        planted += 1
    assert planted, "no run had a place for it"


def test_s7_the_oracles_own_matching():
    """The few lines that everything else stands on."""
    assert matches("#", "a/b") and matches("a/#", "a") and matches("a/+", "a/b") and matches("+", "a")
    assert not matches("+", "a/b") and not matches("a/+", "a") and not matches("#", "$SYS/x")
    assert not matches("a/b", "a") and matches("a/+/c", "a/b/c") and not matches("a/#", "b")
