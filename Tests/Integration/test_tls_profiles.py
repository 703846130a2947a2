"""TLS as Mozilla recommends it for servers, judged by sslyze: the default listener and the modern profile."""

import json
import sys

import pytest

from support.processes import LOOPBACK, free_port, run

# What sslyze calls the configurations of https://ssl-config.mozilla.org/.
PROFILES = ["intermediate", "modern"]


@pytest.fixture(scope="module")
def files(causeway, tmp_path_factory):
    """A server certificate whose life is short enough for Mozilla's eyes: they want one year at most."""
    folder = tmp_path_factory.mktemp("profiles")
    run([causeway, "certs", "init", "-d", folder, "--name", "Test CA"], check=0)
    run([causeway, "certs", "server", "-d", folder, "--name", "site", "--days", "90", "localhost", LOOPBACK], check=0)
    return folder


@pytest.fixture
def ports(site, files):
    """A listener with default TLS and one with the modern profile; their ports by the profiles' names."""
    ports = {profile: free_port() for profile in PROFILES}
    tls = {"certfile": str(files / "site.pem"), "keyfile": str(files / "site.key")}
    site(listeners=[
        {"name": "default", "bind": f"{LOOPBACK}:{ports['intermediate']}", "allow_anonymous": True, "tls": tls},
        {"name": "modern", "bind": f"{LOOPBACK}:{ports['modern']}", "allow_anonymous": True,
         "tls": {**tls, "profile": "modern"}},
    ])
    return ports


def scan(port, profile, files, tmp_path):
    """What sslyze says, and all it has found."""
    report = tmp_path / f"{profile}-{port}.json"
    result = run([
        sys.executable, "-m", "sslyze", f"--mozilla_config={profile}", "--certinfo_ca_file", files / "ca.pem",
        f"--json_out={report}", f"localhost:{port}",
    ], seconds=120)
    return result.stdout, json.loads(report.read_text())["server_scan_results"][0]


@pytest.mark.parametrize("profile", PROFILES)
def test_sslyze_finds_the_profile_kept(ports, files, tmp_path, profile):
    text, found = scan(ports[profile], profile, files, tmp_path)
    # Without a connection sslyze ends well and says nothing about compliance.
    assert found["scan_status"] == "COMPLETED", text
    assert "OK - Compliant" in text, text
    weak = ["ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites"]
    results = found["scan_result"]
    for name in weak + (["tls_1_2_cipher_suites"] if profile == "modern" else []):
        assert results[name]["result"]["accepted_cipher_suites"] == [], name
    assert results["heartbleed"]["result"]["is_vulnerable_to_heartbleed"] is False
    assert results["tls_compression"]["result"]["supports_compression"] is False
    assert results["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"] is False


def test_the_default_does_not_pass_for_modern(ports, files, tmp_path):
    """The judge can say no."""
    text, _ = scan(ports["intermediate"], "modern", files, tmp_path)
    assert "FAILED - Not compliant" in text
    assert "tls_1_2" in text.lower() or "tls_versions" in text.lower() or "TLSv1.2" in text, text
