"""The command line: check, pub, sub, version, certs."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support import certificates
from support.clients import Device, MosquittoSub, mosquitto_pub
from support.processes import LOOPBACK, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_version_is_one_line_with_a_number(causeway):
    result = run([causeway, "version"], check=0)
    assert re.search(r"\d+\.\d+", result.stdout)
    assert len(result.stdout.strip().splitlines()) == 1


def test_help_names_the_subcommands(causeway):
    text = run([causeway, "--help"], check=0).stdout
    for name in ("demo", "site", "cloud", "check", "pub", "sub", "certs", "version"):
        assert re.search(rf"^\s+{name}\b", text, re.M), name


def test_an_unknown_subcommand_is_refused(causeway):
    result = run([causeway, "frobnicate"])
    assert result.returncode > 0
    assert "frobnicate" in result.stdout + result.stderr


# pub and sub speak with everybody.


def test_pub_is_heard_by_mosquitto_sub(causeway, site):
    node = site()
    with MosquittoSub(node.port, "a/#", qos=2) as subscriber:
        for qos in range(3):
            run([causeway, "pub", "-h", LOOPBACK, "-p", node.port, "-t", "a/b", "-m", f"m{qos}", "-q", qos], check=0)
        messages = subscriber.wait_for(3)
    assert sorted((message.payload, message.qos) for message in messages) == [("m0", 0), ("m1", 1), ("m2", 2)]


def test_pub_retains_and_clears(causeway, site):
    node = site()
    run([causeway, "pub", "-h", LOOPBACK, "-p", node.port, "-t", "a/b", "-m", "kept", "-q", "1", "-r"], check=0)
    with MosquittoSub(node.port, "a/b") as subscriber:
        assert subscriber.wait_for(1)[0].retain
    run([causeway, "pub", "-h", LOOPBACK, "-p", node.port, "-t", "a/b", "-n", "-q", "1", "-r"], check=0)
    with Device(node.port) as device:
        device.subscribe("#")
        device.publish("end", "end")
        device.wait_for(1)
        assert device.payloads == ["end"]


def test_sub_hears_mosquitto_pub_and_ends_after_its_count(causeway, site):
    node = site()
    process = subprocess.Popen(
        [causeway, "sub", "-h", LOOPBACK, "-p", str(node.port), "-t", "a/#", "-q", "1", "-C", "2", "-v"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        def published():
            mosquitto_pub(node.port, "a/b", "x", "-q", 1)
            return process.poll() is not None

        wait_until(published, "sub ends by itself")
        assert process.returncode == 0
        assert process.stdout.read().splitlines() == ["a/b x", "a/b x"]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_pub_and_sub_speak_tls_with_certificates(causeway, site, pki):
    from support.processes import free_port

    port = free_port()
    site(listeners=[{
        "bind": f"{LOOPBACK}:{port}",
        "tls": {**pki.server, "require_certificate": True, "use_identity_as_username": True},
    }])
    tls = pki.device("monitor-1")
    arguments = ["--cafile", tls["cafile"], "--cert", tls["certfile"], "--key", tls["keyfile"]]
    run([causeway, "pub", "-h", "localhost", "-p", port, "-t", "a/b", "-m", "x", "-q", "1", "-r", *arguments], check=0)
    result = run(
        [causeway, "sub", "-h", "localhost", "-p", port, "-t", "a/b", "-C", "1", "-q", "1", *arguments], check=0
    )
    assert result.stdout.strip() == "x"
    without = run([causeway, "pub", "-h", "localhost", "-p", port, "-t", "a/b", "-m", "x", "--cafile", tls["cafile"]])
    assert without.returncode > 0


def test_pub_says_when_nobody_listens(causeway):
    from support.processes import free_port

    result = run([causeway, "pub", "-h", LOOPBACK, "-p", free_port(), "-t", "a", "-m", "x", "-q", "1"], seconds=90)
    assert result.returncode > 0
    assert result.stderr.strip()


# check.


def test_check_accepts_a_right_configuration(causeway, site):
    node = site(start=False)
    node.write()
    run([causeway, "check", "-c", node.file], check=0)


def test_check_finds_every_mistake_at_once(causeway, tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text(
        "site: a\nlisteners:\n  - bind: 0.0.0.0:1883\n    max_conections: 7\njournal: { sync: sometimes }\n"
    )
    result = run([causeway, "check", "-c", file])
    said = result.stdout + result.stderr
    assert result.returncode > 0
    for line in (3, 4, 5):
        assert f"site.yaml:{line}:" in said, said
    assert "max_connections" in said


def prepare(folder, causeway, example):
    """Puts the files beside an example that its operator would have put there."""
    shutil.copy(example, folder / example.name)
    text = example.read_text()
    names = set(re.findall(r"certs/([\w./-]+)", text))
    certificates.make_named(causeway, folder / "certs", names)
    return folder / example.name


EXAMPLES = sorted((ROOT / "docker" / "examples").glob("*.yaml")) + sorted((ROOT / "docker" / "compose").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{path.parent.name}/{path.stem}" for path in EXAMPLES])
def test_check_accepts_the_examples(causeway, tmp_path, example):
    file = prepare(tmp_path, causeway, example)
    text = file.read_text().replace("/var/lib/causeway", str(tmp_path))
    file.write_text(text)
    run([causeway, "check", "-c", file], check=0)


MANIFESTS = sorted((ROOT / "docker" / "kubernetes").glob("*/configmap.yaml"))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=[path.parent.name for path in MANIFESTS])
def test_check_accepts_the_configurations_in_the_manifests(causeway, tmp_path, manifest):
    lines = manifest.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if re.match(r"  \w+\.yaml: \|$", line))
    text = "\n".join(line[4:] for line in lines[start + 1:]) + "\n"
    text = text.replace("/etc/causeway/tls/", "certs/").replace("/var/lib/causeway", str(tmp_path))
    example = tmp_path / "from-manifest.yaml"
    folder = tmp_path / "checked"
    folder.mkdir()
    example.write_text(text)
    run([causeway, "check", "-c", prepare(folder, causeway, example)], check=0)


# certs.


def test_keys_are_for_their_owner_alone(pki):
    keys = [path for path in pki.folder.rglob("*") if path.is_file() and "PRIVATE KEY" in path.read_text()]
    assert len(keys) >= 3
    for path in keys:
        assert os.stat(path).st_mode & 0o077 == 0, f"{path} is {os.stat(path).st_mode & 0o777:o}"


def test_openssl_agrees_with_the_certificates(pki):
    for tls, purpose in ((pki.server, "sslserver"), (pki.device("monitor-1"), "sslclient")):
        run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", tls["cafile"], tls["certfile"]], check=0)
    text = run(["openssl", "x509", "-in", pki.server["certfile"], "-noout", "-ext", "subjectAltName"], check=0).stdout
    assert "localhost" in text and "127.0.0.1" in text
    subject = run(["openssl", "x509", "-in", pki.device("monitor-1")["certfile"], "-noout", "-subject"], check=0).stdout
    assert "monitor-1" in subject


def test_a_device_certificate_cannot_pose_as_a_server(pki):
    device = pki.device("monitor-1")
    result = run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", device["cafile"], device["certfile"]])
    assert result.returncode != 0
