"""Decisions through the real binary: made once, on the site, whatever happens to the process."""

import json
import time

import pytest

from support.clients import Device, unique
from support.processes import wait_until

INSULIN = {
    "name": "glucose", "plugin": "medication.insulin", "topics": ["ward/+/bed/{bed}/+"], "key": "{bed}",
    "with": {"basal": 1.0, "isf": 50, "carb_ratio": 10, "max_iob": 3},
}


def decode(messages):
    return [(message.topic, json.loads(message.payload)) for message in messages]


def stamp(offset=0):
    """Milliseconds since 1970, so many seconds from now."""
    return int((time.time() + offset) * 1000)


def reading(value, sequence, **more):
    return json.dumps({
        "value": value, "unit": "mg/dL", "ts": stamp(), "dev": "cgm-1", "boot": 1, "seq": sequence, **more,
    })


@pytest.fixture
def ward(site):
    return site("ward-7", handlers=[INSULIN])


class Listener:
    """A persistent subscriber to what handlers say, so that nothing is missed and every repetition is seen."""

    def __init__(self, port, *filters):
        self.port = port
        self.filters = filters
        self.options = {"client_id": unique("listener"), "clean": False, "expiry": 3600}
        self.messages = []
        self.device = Device(port, **self.options).connect()
        for topic_filter in filters:
            self.device.subscribe(topic_filter, qos=2)

    def again(self):
        """After a restart of the site."""
        self.messages += self.device.messages
        self.device.client.loop_stop()
        self.device = Device(self.port, **self.options).connect()

    @property
    def heard(self):
        """Each message once: QoS 1 may repeat one over a kill, marked as a repetition; unmarked it would be a second
        decision, and is counted."""
        known, first = set(), []
        for message in self.messages + list(self.device.messages):
            same = (message.topic, bytes(message.payload))
            if not (message.dup and same in known):
                first.append(message)
            known.add(same)
        return decode(first)

    def wait_for(self, count):
        wait_until(lambda: len(self.heard) >= count, f"{count} decisions")
        return self.heard

    def close(self):
        self.device.close()


def test_insulin_is_suggested_and_suspended(ward):
    nurse = Listener(ward.port, "hnd/glucose/#")
    with Device(ward.port) as monitor:
        monitor.publish("ward/7/bed/1/cgm", reading(200, 1))
        topic, high = nurse.wait_for(1)[0]
        assert topic == "hnd/glucose/1/proposal"
        assert high["op"] == "temp_basal"
        assert high["rate"]["value"] > 1.0 and high["rate"]["value"] <= 3.0
        assert high["mode"] == "suggest"
        assert high["reason"] and high["basis"] and "not a medical device" in high["notice"]
        monitor.publish("ward/7/bed/2/cgm", reading(70, 1))
        topic, low = nurse.wait_for(2)[1]
        assert topic == "hnd/glucose/2/proposal"
        assert low["rate"]["value"] == 0
    nurse.close()


def test_suggesting_never_commands_a_pump(ward):
    pump = Listener(ward.port, "pump/#", "hnd/glucose/#")
    with Device(ward.port) as monitor:
        monitor.publish("ward/7/bed/1/pump", json.dumps({"rate": 1.0, "ts": stamp()}))
        monitor.publish("ward/7/bed/1/cgm", reading(260, 1))
        heard = pump.wait_for(1)
    assert [topic for topic, _ in heard] == ["hnd/glucose/1/proposal"]
    pump.close()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (reading(9, 1), "error code"),
        (reading(120, 1, noise=4), "nois"),
        (json.dumps({"value": 120, "unit": "mg/dL", "ts": stamp(-3600), "seq": 1}), "old"),
        (json.dumps({"value": 120, "unit": "mg/dL", "ts": stamp(3600), "seq": 1}), "ahead"),
    ],
    ids=["error code", "noise", "stale", "clock ahead"],
)
def test_an_untrustworthy_reading_is_refused_with_a_reason(ward, payload, reason):
    nurse = Listener(ward.port, "hnd/glucose/#")
    with Device(ward.port) as monitor:
        monitor.publish("ward/7/bed/1/cgm", payload)
        topic, refusal = nurse.wait_for(1)[0]
    assert topic == "hnd/glucose/1/refusal"
    assert reason in refusal["reason"]
    nurse.close()


@pytest.mark.parametrize(
    "payload",
    ["not json", "", "[]", '{"value": 120}', '{"value": 120, "unit": "mg"}', '{"value": 1e999, "unit": "mg/dL"}',
     '{"value": "120", "unit": "mg/dL"}', '{"value": -1, "unit": "mg/dL"}', "[" * 5000, "\x00\x01"],
)
def test_nonsense_goes_to_the_dead_letters_and_the_next_reading_counts(ward, payload):
    letters = Listener(ward.port, "dlq/glucose")
    nurse = Listener(ward.port, "hnd/glucose/+/proposal")
    with Device(ward.port) as monitor:
        monitor.publish("ward/7/bed/1/cgm", payload)
        _, letter = letters.wait_for(1)[0]
        assert letter["reason"] and letter["topic"] == "ward/7/bed/1/cgm"
        monitor.publish("ward/7/bed/1/cgm", reading(150, 1))
        nurse.wait_for(1)
    letters.close()
    nurse.close()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restart_neither_repeats_nor_forgets_a_decision(ward, how):
    nurse = Listener(ward.port, "hnd/glucose/#")
    with Device(ward.port) as monitor:
        for number in range(1, 6):
            monitor.publish("ward/7/bed/1/cgm", reading(180 + number, number))
        nurse.wait_for(5)
    getattr(ward, how)()
    ward.start()
    nurse.again()
    with Device(ward.port) as monitor:
        # What the handler knows already, sent again by a device that did not hear the acknowledgement.
        monitor.publish("ward/7/bed/1/cgm", reading(185, 5))
        monitor.publish("ward/7/bed/1/cgm", reading(190, 6))
        heard = nurse.wait_for(6)
        # A bed of its own, behind everything else: when it is heard, nothing more was on its way.
        monitor.publish("ward/7/bed/9/cgm", reading(70, 1))
        heard = nurse.wait_for(7)
    commands = [body["cmdId"] for _, body in heard]
    assert len(commands) == len(set(commands)) == 7
    # The history before the restart counts: the decision rests on more than the last reading.
    assert len(heard[5][1]["basis"]) > 1
    nurse.close()


def test_every_reading_acknowledged_before_a_kill_is_decided_exactly_once(ward):
    nurse = Listener(ward.port, "hnd/glucose/#")
    beds = 40
    with Device(ward.port) as monitor:
        handles = [
            monitor.client.publish(f"ward/7/bed/{bed}/cgm", reading(150 + bed, 1), 1) for bed in range(1, beds + 1)
        ]
        wait_until(lambda: all(handle.mid in monitor.acknowledged for handle in handles), "all are acknowledged")
        ward.kill()
    ward.start()
    nurse.again()
    heard = nurse.wait_for(beds)
    with Device(ward.port) as monitor:
        monitor.publish("ward/7/bed/99/cgm", reading(70, 1))
        heard = nurse.wait_for(beds + 1)
    keys = sorted(int(topic.split("/")[2]) for topic, _ in heard)
    assert keys == list(range(1, beds + 1)) + [99]
    nurse.close()


# Coupons.

COUPON = {
    "name": "welcome-back", "plugin": "retail.coupon", "topics": ["customer/{customer}/+"], "key": "{customer}",
    "with": {"holdout_pct": 0, "cooldown": "7d", "discount_pct": 15},
}

DAY = 86_400


@pytest.fixture
def shop(site, tmp_path):
    key = tmp_path / "site.key"
    key.write_text("a key for tests alone, 32 bytes and more")
    key.chmod(0o600)
    return site("shop", handlers=[COUPON], site_key={"file": str(key)})


def regular(device, customer, days=(30, 20, 10)):
    """A customer who agreed and has bought something before."""
    device.publish(f"customer/{customer}/consent", json.dumps({"given": True, "ts": stamp(-40 * DAY)}))
    for day in days:
        sale = {"customer": customer, "total": 9.5, "items": 2, "tx": f"{customer}-{day}", "ts": stamp(-day * DAY)}
        device.publish(f"customer/{customer}/sale", json.dumps(sale))


def visit(device, customer, at=None, dwell=60):
    device.publish(
        f"customer/{customer}/visit",
        json.dumps({"customer": customer, "zone": "wine", "dwell_s": dwell, "ts": at or stamp()}),
    )


def test_a_returning_customer_gets_one_coupon_a_cooldown(shop):
    till = Listener(shop.port, "hnd/welcome-back/+/coupon")
    with Device(shop.port) as device:
        regular(device, "c1")
        visit(device, "c1", stamp(-3600))
        visit(device, "c1", stamp(-1800))
        visit(device, "c1")
        regular(device, "c2")
        visit(device, "c2")
        heard = till.wait_for(2)
    assert [body["customer"] for _, body in heard] == ["c1", "c2"]
    coupon = heard[0][1]
    assert coupon["campaign"] == "welcome-back" and coupon["discount_pct"] == 15 and coupon["zone"] == "wine"
    assert coupon["couponId"] != heard[1][1]["couponId"]
    till.close()


@pytest.mark.parametrize("lacks", ["consent", "purchases", "stay"])
def test_nobody_else_gets_one(shop, lacks):
    till = Listener(shop.port, "hnd/welcome-back/+/coupon")
    with Device(shop.port) as device:
        regular(device, "c1", days=(30,) if lacks == "purchases" else (30, 20, 10))
        if lacks == "consent":
            device.publish("customer/c1/consent", json.dumps({"given": False, "ts": stamp(-DAY)}))
        visit(device, "c1", dwell=5 if lacks == "stay" else 60)
        # Somebody who does, behind: when that is heard, nothing else was on its way.
        regular(device, "c2")
        visit(device, "c2")
        heard = till.wait_for(1)
    assert [body["customer"] for _, body in heard] == ["c2"]
    till.close()


def test_a_coupon_is_not_given_again_after_a_kill(shop):
    till = Listener(shop.port, "hnd/welcome-back/+/coupon")
    customers = [f"c{number}" for number in range(20)]
    at = stamp()
    with Device(shop.port) as device:
        for customer in customers:
            regular(device, customer, days=(30, 20))
            visit(device, customer, at)
        shop.kill()
    shop.start()
    till.again()
    with Device(shop.port) as device:
        for customer in customers:
            # The gateway did not hear the acknowledgement; and the customer stays on.
            visit(device, customer, at)
            visit(device, customer, stamp())
        regular(device, "last")
        visit(device, "last")
    heard = till.wait_for(len(customers) + 1)
    assert sorted(body["customer"] for _, body in heard) == sorted(customers + ["last"])
    assert len({body["couponId"] for _, body in heard}) == len(customers) + 1
    till.close()


def test_an_impossible_parameter_is_refused_with_its_line(causeway, tmp_path):
    from support.processes import run

    file = tmp_path / "site.yaml"
    file.write_text(
        "site: ward-7\nlisteners: [{ bind: 127.0.0.1:1883 }]\nhandlers:\n  - name: glucose\n"
        "    plugin: medication.insulin\n    topics: [\"ward/{bed}/cgm\"]\n    key: \"{bed}\"\n"
        "    with:\n      max_basal: 99\n"
    )
    result = run([causeway, "check", "-c", file])
    said = result.stdout + result.stderr
    assert result.returncode > 0
    assert "max_basal" in said and "site.yaml:9:" in said
