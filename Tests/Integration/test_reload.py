"""SIGHUP on a site: limits for whoever connects next, locks that stay, certificates that the audit log knows of."""

import json
import re
import shutil
import signal
import ssl

import pytest
from support.clients import mosquitto_pub
from support.processes import LOOPBACK, free_port, run, wait_until
from test_drop_in_wire import Client

PASSWORD = "correct horse battery"


@pytest.fixture
def reload(site, tmp_path):
    """A site with an audit log, and what puts a changed configuration in force at SIGHUP."""
    def make(**configuration):
        port = free_port()
        listener = {"bind": f"{LOOPBACK}:{port}", "allow_anonymous": True, **configuration.pop("listener", {})}
        node = site("reloaded", start=False, listeners=[listener], audit={"path": "audit"}, **configuration)
        node.port = port

        def again(words="was read again", **changes):
            node.configuration.update(changes)
            node.write()
            before = node.log.count(words)
            node.process.signal(signal.SIGHUP)
            wait_until(lambda: node.log.count(words) > before, words)

        node.again = again
        node.start()
        return node

    return make


def records(node, kind):
    lines = "".join(path.read_text() for path in sorted((node.folder / "audit").glob("audit-*.jsonl")))
    return [json.loads(line) for line in lines.splitlines() if f'"{kind}"' in line]


def audited(node, kind, count=1):
    wait_until(lambda: len(records(node, kind)) >= count, f"{count} of {kind} in the audit log")
    return records(node, kind)


def test_limits_hold_for_whoever_connects_after_it(reload):
    node = reload()
    assert b"\x27\x00\x1e\x84\x80" in connack(node), "2,000,000 bytes"
    node.again(limits={"max_packet_size": 4_000, "max_keepalive": 30, "receive_maximum": 7})
    answer = connack(node)
    assert b"\x27\x00\x00\x0f\xa0" in answer and b"\x13\x00\x1e" in answer and b"\x21\x00\x07" in answer
    assert "from the next start on" not in node.log
    node.again(limits={"max_outgoing_bytes": 65_536})
    assert "limits.max_outgoing_bytes" in node.log
    assert b"\x27\x00\x1e\x84\x80" in connack(node)


def connack(node):
    client = Client(node.port).connect()
    return client.socket.recv(100)


def test_a_lock_outlives_a_reload_and_is_audited_from_its_begin_to_its_end(reload, tmp_path):
    passwords = tmp_path / "passwords"
    run(["mosquitto_passwd", "-c", "-b", str(passwords), "nurse", PASSWORD], check=0)
    passwords.chmod(0o600)
    users = {"password_file": str(passwords), "lockout": {"failures": 3, "within": "5m", "duration": "8s"}}
    node = reload(users=users, listener={"allow_anonymous": False})

    def enters(password):
        return mosquitto_pub(node.port, "a", "x", "-u", "nurse", "-P", password, check=None).returncode == 0

    assert enters(PASSWORD)
    for _ in range(3):
        assert not enters("wrong password")
    begun = audited(node, "client.locked_out")
    assert "nurse" in json.dumps(begun) and LOOPBACK in json.dumps(begun)
    node.again()
    node.again(limits={"max_keepalive": 60})
    assert not enters(PASSWORD), "the lock is still there"
    audited(node, "client.lockout_lifted")
    assert enters(PASSWORD)
    assert len(records(node, "client.locked_out")) == len(records(node, "client.lockout_lifted")) == 1


def test_certificates_that_change_and_that_cannot_be_used_are_audited(reload, pki, tmp_path):
    certificate, key = tmp_path / "site.pem", tmp_path / "site.key"
    shutil.copy(pki.server["certfile"], certificate)
    shutil.copy(pki.server["keyfile"], key)
    node = reload(listener={"tls": {"certfile": str(certificate), "keyfile": str(key)}})
    context = ssl.create_default_context(cafile=pki.server["cafile"])
    context.check_hostname = False

    def serial():
        with context.wrap_socket(Client(node.port).socket) as wrapped:
            return wrapped.getpeercert()["serialNumber"]

    first = serial()
    node.again()
    assert not records(node, "certificate.reloaded"), "it is the same one"
    shutil.copy(pki.other_host["certfile"], certificate)
    shutil.copy(pki.other_host["keyfile"], key)
    node.again()
    told = audited(node, "certificate.reloaded")
    assert str(certificate) in json.dumps(told) and re.search("SHA-256 [0-9a-f]{64}", json.dumps(told))
    assert serial() != first
    second = serial()
    certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    node.again("is refused")
    assert len(audited(node, "certificate.refused")) >= 1
    shutil.copy(pki.server["certfile"], certificate)
    node.again("is refused")
    assert "belong" in json.dumps(audited(node, "certificate.refused", 2)[-1])
    assert audited(node, "configuration.refused", 2)
    assert serial() == second, "the old one stays in force"
    run([node.binary, "audit", "verify", str(node.folder / "audit")], check=0)
