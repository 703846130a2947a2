"""`causeway bench` against both brokers: what it counts is what was there."""

import json

import pytest

from support.processes import LOOPBACK, free_port, run

SHORT = ["--seconds", "0.3", "--warmup", "0.1", "--rounds", "2"]


@pytest.fixture(params=["site", "mosquitto"])
def port(request):
    return request.getfixturevalue(request.param)().port


def bench(causeway, port, *arguments, check=0):
    result = run([causeway, "bench", *arguments, "-h", LOOPBACK, "-p", port, "--json", "-"], check=check)
    return json.loads(result.stdout) if check == 0 else result


@pytest.mark.parametrize("load", [
    ["pairs", "--clients", "4"],
    ["pairs", "--clients", "4", "-q", "1", "--payload", "0", "-V", "mqttv5"],
    ["pairs", "--clients", "2", "-q", "2", "--window", "20"],
    ["fan-in", "--clients", "5"],
    ["fan-out", "--clients", "5", "-q", "1", "--window", "100"],
])
def test_a_load_arrives_and_nothing_is_lost(causeway, port, load):
    figures = bench(causeway, port, *load, *SHORT)
    assert len(figures["rounds"]) == 2
    for measured in figures["rounds"]:
        assert measured["count"] > 0
        assert measured["lost"] == 0
        assert measured["perSecond"] == pytest.approx(measured["count"] / measured["seconds"])


def test_a_persistent_load_finds_all_that_was_acknowledged(causeway, port):
    # Within what stock mosquitto keeps for a client that is away.
    figures = bench(causeway, port, "persistent", "--clients", "2", "--inflight", "1", "--seconds", "0.02",
                    "--warmup", "0", "--rounds", "1")
    assert 0 < figures["acknowledged"] <= figures["kept"]


def test_latencies_at_a_rate_are_of_every_message(causeway, port):
    figures = bench(causeway, port, "latency", "--rate", "200", "--clients", "3", *SHORT)
    for measured in figures["rounds"]:
        latency = measured["latency"]
        assert latency["count"] == pytest.approx(60, abs=1)
        assert 0 < latency["p50"] <= latency["p99"] <= latency["largest"]
    assert sum(measured["lost"] for measured in figures["rounds"]) == 0


def test_all_connections_come_back_from_a_storm(causeway, port):
    figures = bench(causeway, port, "connections", "--clients", "50", "--storms", "2", "--idle", "0.1")
    for wave in [figures["first"], *figures["storms"]]:
        assert (wave["connected"], wave["dropped"], wave["latency"]["count"]) == (50, 0, 50)
    assert figures["lostWhileIdle"] == 0


def test_tls_with_certificates_on_both_sides(causeway, site, pki):
    device = pki.device("monitor-1")
    node = site(listeners=[{
        "bind": f"{LOOPBACK}:{(port := free_port())}",
        "tls": {**{key: pki.server[key] for key in ("cafile", "certfile", "keyfile")},
                "require_certificate": True, "use_identity_as_username": True},
    }])
    assert node
    files = ["--cafile", device["cafile"], "--cert", device["certfile"], "--key", device["keyfile"]]
    figures = bench(causeway, port, "pairs", "--clients", "2", *SHORT, *files)
    assert figures["rounds"][0]["count"] > 0
    stranger = ["--cafile", pki.foreign_folder / "ca.pem"]
    refused = bench(causeway, port, "pairs", "--clients", "2", *SHORT, *stranger, check=1)
    assert "cannot be reached" in refused.stderr


def test_the_file_holds_what_the_terminal_says(causeway, site, tmp_path):
    node, path = site(), tmp_path / "figures.json"
    result = run([causeway, "bench", "pairs", "-h", LOOPBACK, "-p", node.port, "--json", path, *SHORT], check=0)
    assert len(json.loads(path.read_text())["rounds"]) == 2
    assert result.stdout.strip().splitlines()[-1].startswith("median: ")


def test_a_broker_that_is_not_there_is_an_error_in_words(causeway):
    result = bench(causeway, free_port(), "pairs", check=1)
    assert result.stderr.startswith("Error: the broker cannot be reached")


def test_settings_that_make_no_sense_are_an_error_in_words(causeway):
    result = bench(causeway, free_port(), "persistent", "--inflight", "0", check=1)
    assert "in flight for each client" in result.stderr
