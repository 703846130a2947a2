"""A stock mosquitto as the site's broker: handlers and bridge work as with our own."""

import json
import time

from support.chain import bridge, payloads, wait_stored
from support.clients import Device, mosquitto_pub
from support.processes import LOOPBACK, wait_until


def test_what_devices_send_to_an_existing_broker_reaches_the_cloud(site, cloud, mosquitto):
    local = mosquitto("local")
    head_office = cloud()
    node = site(site_broker={"address": f"mqtt://{LOOPBACK}:{local.port}"}, bridges=[bridge(head_office.port)])
    with Device(local.port) as till:
        for number in range(100):
            till.publish("sales/1", str(number))
    wait_stored(head_office, 100)
    assert payloads(head_office, "store-0042") == [str(number) for number in range(100)]
    assert node.get("/readyz")[0] == 200


def test_handlers_hear_and_answer_on_the_existing_broker(site, mosquitto):
    local = mosquitto("local")
    handler = {
        "name": "glucose", "plugin": "medication.insulin", "topics": ["ward/+/bed/{bed}/+"], "key": "{bed}",
        "with": {"basal": 1.0, "isf": 50, "carb_ratio": 10, "max_iob": 3},
    }
    with Device(local.port) as nurse, Device(local.port) as monitor:
        nurse.subscribe("hnd/#")
        site(site_broker={"address": f"mqtt://{LOOPBACK}:{local.port}"}, handlers=[handler])
        # The site may still be on its way to the broker: a later reading replaces an unheard one.
        sequence = 0

        def heard():
            nonlocal sequence
            sequence += 1
            reading = {"value": 200 + sequence, "unit": "mg/dL", "ts": int(time.time() * 1000), "seq": sequence}
            monitor.publish("ward/7/bed/1/cgm", json.dumps(reading))
            return nurse.messages

        wait_until(heard, "a proposal on the existing broker")
    assert nurse.messages[0].topic == "hnd/glucose/1/proposal"
    assert json.loads(nurse.messages[0].payload)["rate"]["value"] > 1.0


def test_a_restart_of_the_site_loses_nothing_that_the_broker_kept(site, cloud, mosquitto):
    local = mosquitto("local")
    head_office = cloud()
    node = site(site_broker={"address": f"mqtt://{LOOPBACK}:{local.port}"}, bridges=[bridge(head_office.port)])
    mosquitto_pub(local.port, "sales/1", "before", "-q", 1)
    wait_stored(head_office, 1)
    node.stop()
    for number in range(20):
        mosquitto_pub(local.port, "sales/1", f"while away {number}", "-q", 1)
    node.start()
    wait_until(lambda: len(payloads(head_office, "store-0042")) >= 21, "everything arrives")
    assert payloads(head_office, "store-0042")[1:21] == [f"while away {number}" for number in range(20)]


def test_a_broker_that_restarts_is_found_again(site, cloud, mosquitto):
    local = mosquitto("local")
    head_office = cloud()
    site(site_broker={"address": f"mqtt://{LOOPBACK}:{local.port}"}, bridges=[bridge(head_office.port)])
    mosquitto_pub(local.port, "sales/1", "before", "-q", 1)
    wait_stored(head_office, 1)
    local.kill()
    local.start()

    def arrives():
        mosquitto_pub(local.port, "sales/1", "after", "-q", 1)
        return "after" in payloads(head_office, "store-0042")

    wait_until(arrives, "messages after the restart arrive")
