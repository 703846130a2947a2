"""Faults planted into what was observed; a judge who misses one is no judge.

Each takes the steps of a run that was right and spoils one delivery or one outcome, as a broker with that defect would
have. It answers the spoilt steps, or None when the run has no place for it.
"""

import copy

from .oracle import READ, REVOCATION_SECONDS, WRITE, expectations, matches, permits, unshared


def spoil(steps, index, change):
    spoilt = copy.deepcopy(steps)
    change(spoilt[index])
    return spoilt


def add(client, payload):
    return lambda step: step["got"].setdefault(client, []).append(payload)


def remove(client, payload):
    return lambda step: step["got"].update({client: [one for one in step["got"].get(client, []) if one != payload]})


def a_delivery_is_lost(steps):
    for index, step, _, expected, _ in expectations(steps):
        for client, payload in sorted(expected.must):
            if step["op"] == "publish":
                return spoil(steps, index, remove(client, payload))
    return None


def a_denied_reader_gets_a_live_message(steps):
    for index, step, before, _, model in expectations(steps):
        if step["op"] != "publish" or not model.allowed(step["client"], WRITE, step["topic"]):
            continue
        for client in sorted(before["online"]):
            filters = before["subscriptions"].get(client, {})
            if any(matches(unshared(one)[1], step["topic"]) for one in filters):
                if not model.allowed(client, READ, step["topic"]):
                    return spoil(steps, index, add(client, step["payload"]))
    return None


def a_denied_publish_is_delivered(steps):
    for index, step, before, _, model in expectations(steps):
        if step["op"] != "publish" or model.allowed(step["client"], WRITE, step["topic"]):
            continue
        for client in sorted(before["online"]):
            if model.allowed(client, READ, step["topic"]):
                return spoil(steps, index, add(client, step["payload"]))
    return None


def a_revoked_reader_still_gets_messages(steps):
    """The rules of before go on to count."""
    earlier = {}
    for index, step, before, _, model in expectations(steps):
        if step["op"] in ("rules", "race"):
            earlier[step["client"]] = earlier.get(step["client"], []) + [model.rules.get(step["client"], [])]
        if step["op"] != "publish" or not model.allowed(step["client"], WRITE, step["topic"]):
            continue
        for client in sorted(before["online"]):
            if model.allowed(client, READ, step["topic"]) or len(earlier.get(client, [])) < 2:
                continue
            for lines in earlier[client][:-1]:
                readable = any(kind in (READ, "readwrite") and matches(one, step["topic"]) for kind, one in lines)
                if readable:
                    return spoil(steps, index, add(client, step["payload"]))
    return None


def a_denied_retained_message_is_handed_out(steps):
    for index, step, before, _, model in expectations(steps):
        if step["op"] != "subscribe" or step["outcome"]["reason"] >= 0x80:
            continue
        share, inner = unshared(step["filter"])
        for topic, (payload, publisher) in before["retained"].items():
            if share is None and matches(inner, topic) and not model.allowed(step["client"], READ, topic):
                return spoil(steps, index, add(step["client"], payload))
    return None


def what_a_revoked_publisher_retained_is_handed_out(steps):
    for index, step, before, _, model in expectations(steps):
        if step["op"] != "subscribe" or step["outcome"]["reason"] >= 0x80:
            continue
        share, inner = unshared(step["filter"])
        for topic, (payload, publisher) in before["retained"].items():
            if share is None and matches(inner, topic) and publisher not in before["removed"]:
                if model.allowed(step["client"], READ, topic) and not model.allowed(publisher, WRITE, topic):
                    return spoil(steps, index, add(step["client"], payload))
    return None


def a_queue_is_delivered_after_revocation(steps):
    for index, step, before, expected, model in expectations(steps):
        if step["op"] != "connect" or step["outcome"]["reason"] >= 0x80 or not step["outcome"]["session_present"]:
            continue
        for payload, topic, _ in before["queues"].get(step["client"], []):
            if not model.allowed(step["client"], READ, topic):
                return spoil(steps, index, add(step["client"], payload))
    return None


def a_will_is_sent_against_the_rules(steps):
    for index, step, before, _, model in expectations(steps):
        will = before["wills"].get(step["client"]) if step["op"] == "drop" else None
        if will is None or model.allowed(step["client"], WRITE, will[0]):
            continue
        for client in sorted(before["online"] - {step["client"]}):
            return spoil(steps, index, add(client, will[1]))
    return None


def a_member_of_no_group_gets_a_shared_message(steps):
    for index, step, before, expected, _ in expectations(steps):
        for group, payload in expected.one_of:
            reached = {client for client, one in expected.must | expected.may if one == payload} | set(group)
            for client in sorted(before["online"] - reached):
                return spoil(steps, index, add(client, payload))
    return None


def a_message_comes_after_unsubscribing(steps):
    ended = {}
    for index, step, before, expected, model in expectations(steps):
        if step["op"] == "unsubscribe":
            ended[step["client"]] = step["filter"]
        if step["op"] == "publish" and model.allowed(step["client"], WRITE, step["topic"]):
            for client, topic_filter in ended.items():
                _, inner = unshared(topic_filter)
                still = any(matches(unshared(one)[1], step["topic"]) for one in before["subscriptions"].get(client, {}))
                if client in before["online"] and matches(inner, step["topic"]) and not still:
                    return spoil(steps, index, add(client, step["payload"]))
    return None


def a_removed_user_is_let_in(steps):
    for index, step, before, _, _ in expectations(steps):
        if step["op"] == "connect" and step["client"] in before["removed"]:
            return spoil(steps, index, lambda one: one["outcome"].update(reason=0))
    return None


def nobody_of_a_group_gets_a_message(steps):
    for index, step, _, expected, _ in expectations(steps):
        for group, payload in expected.one_of:
            def silence(one, payload=payload, group=group):
                for client in group:
                    one["got"][client] = [each for each in one["got"].get(client, []) if each != payload]
            return spoil(steps, index, silence)
    return None


def a_message_comes_a_step_late(steps):
    for index, step, _, expected, _ in expectations(steps):
        for client, payload in sorted(expected.must):
            if step["op"] == "publish" and index + 1 < len(steps):
                spoilt = spoil(steps, index, remove(client, payload))
                add(client, payload)(spoilt[index + 1])
                return spoilt
    return None


def a_message_under_way_is_lost(steps):
    for index, step, _, expected, _ in expectations(steps):
        for client, payload in sorted(expected.must):
            if step["op"] == "race":
                return spoil(steps, index, remove(client, payload))
    return None


def a_message_under_way_reaches_who_never_had_the_right(steps):
    for index, step, before, _, model in expectations(steps):
        client = step["client"]
        if step["op"] != "race" or client not in before["online"]:
            continue
        for (topic, payload), reason in zip(step["messages"], step["outcome"]["reasons"]):
            then = permits(before["rules"].get(client, []), READ, topic)
            if reason < 0x80 and not then and not model.allowed(client, READ, topic):
                return spoil(steps, index, add(client, payload))
    return None


def a_revocation_takes_too_long(steps):
    for index, step, _, _, model in expectations(steps):
        for payload in step["got"].get(step["client"], []):
            if step["op"] == "race" and model.withdrawn(step, step["client"], payload):
                return spoil(steps, index, lambda one: one.update(took=REVOCATION_SECONDS + 0.1))
    return None


FAULTS = [
    a_delivery_is_lost, a_denied_reader_gets_a_live_message, a_denied_publish_is_delivered,
    a_revoked_reader_still_gets_messages, a_denied_retained_message_is_handed_out,
    what_a_revoked_publisher_retained_is_handed_out, a_queue_is_delivered_after_revocation,
    a_will_is_sent_against_the_rules, a_member_of_no_group_gets_a_shared_message, a_message_comes_after_unsubscribing,
    a_removed_user_is_let_in, nobody_of_a_group_gets_a_message, a_message_comes_a_step_late,
    a_message_under_way_is_lost, a_message_under_way_reaches_who_never_had_the_right, a_revocation_takes_too_long,
]
