"""Health and metrics over HTTP."""

import re

import pytest

from support.clients import Device, mosquitto_pub
from support.processes import LOOPBACK, free_port, wait_until


def bridge(port, **more):
    return {
        "name": "cloud", "address": f"mqtt://{LOOPBACK}:{port}", "restart": {"base": "100ms", "cap": "500ms"},
        "routes": [{"topic": "sales/#", "class": "transaction"}], **more,
    }


def test_a_site_is_alive_and_ready(site):
    node = site()
    assert node.get("/livez")[0] == 200
    assert node.get("/readyz")[0] == 200
    assert node.get("/no-such-page")[0] == 404


def test_a_site_is_ready_while_the_cloud_is_away(site):
    node = site(bridges=[bridge(free_port())])
    with Device(node.port) as device:
        for number in range(20):
            device.publish("sales/1", str(number))
    assert node.get("/readyz")[0] == 200
    assert node.get("/livez")[0] == 200
    wait_until(
        lambda: (node.metric("causeway_bridge_queue_messages", bridge="cloud") or 0) >= 20, "the backlog shows"
    )


def test_metrics_are_well_formed_and_name_no_device(site):
    node = site(bridges=[bridge(free_port())])
    with Device(node.port, client_id="very-private-name") as device:
        device.subscribe("secret/topic")
        device.publish("secret/topic", "x")
        device.wait_for(1)
    mosquitto_pub(node.port, "sales/1", "9.99", "-q", 1)
    status, text = node.get("/metrics")
    assert status == 200
    sample = re.compile(r'^[a-z_][a-z0-9_]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)$')
    for line in text.splitlines():
        assert line.startswith("#") or sample.match(line), line
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    assert all(name.startswith("causeway_") or name.startswith("process_") for name in names), names
    assert any(name.endswith("_total") for name in names)
    assert "secret" not in text and "very-private-name" not in text


def test_every_sample_has_a_type_and_a_help_text(site):
    text = site().get("/metrics")[1]
    typed = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    helped = set(re.findall(r"^# HELP (\S+)", text, re.M))
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    for name in names:
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in typed or family in typed, f"{name} has no TYPE"
        assert name in helped or family in helped, f"{name} has no HELP"


def test_connections_are_counted(site):
    node = site()
    gauges = [name for name in ("causeway_clients_connected", "causeway_connections") if node.metric(name) is not None]
    assert gauges, "no gauge of connections"
    with Device(node.port), Device(node.port):
        wait_until(lambda: node.metric(gauges[0]) == 2, "two connections")
    wait_until(lambda: node.metric(gauges[0]) == 0, "no connection")


def test_a_cloud_is_alive_and_ready(cloud):
    node = cloud()
    assert node.get("/livez")[0] == 200
    assert node.get("/readyz")[0] == 200
    assert node.get("/metrics")[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_console_changes_nothing(site, method):
    import http.client

    node = site()
    connection = http.client.HTTPConnection(LOOPBACK, node.console_port, timeout=10)
    connection.request(method, "/livez")
    assert connection.getresponse().status in (404, 405)
    connection.close()
