"""The TLS listeners against Mozilla's recommendations, as sslyze judges them."""

import json
import pathlib
import sys

import pytest

from support.processes import LOOPBACK, free_port, run


def judged(port, pki, profile, folder):
    """sslyze's verdict: whether the listener follows the profile, and what it says."""
    result = run([
        sys.executable, "-m", "sslyze", f"--mozilla_config={profile}", f"--certinfo_ca_file={pki.server['cafile']}",
        f"--json_out={folder / 'sslyze.json'}", f"localhost:{port}",
    ], seconds=180)
    said = json.loads((folder / "sslyze.json").read_text())
    assert said["server_scan_results"][0]["connectivity_status"] == "COMPLETED", result.stdout
    return result.returncode == 0, result.stdout[result.stdout.find("COMPLIANCE"):]


@pytest.fixture
def tls_site(site, pki, causeway):
    # Both profiles want certificates that are renewed often; `causeway certs` gives them longer unless told.
    authority = pathlib.Path(pki.server["cafile"]).parent
    if not (authority / "brief.pem").exists():
        run([causeway, "certs", "server", "-d", authority, "--name", "brief", "--days", 89, "localhost"], check=0)

    def make(**tls):
        port = free_port()
        node = site(start=False)
        files = {"certfile": str(authority / "brief.pem"), "keyfile": str(authority / "brief.key")}
        node.configuration["listeners"].append({
            "bind": f"{LOOPBACK}:{port}", "tls": {**files, **tls}, "allow_anonymous": True,
        })
        node.start()
        return port

    return make


def test_the_default_listener_follows_the_intermediate_profile(tls_site, pki, tmp_path):
    follows, said = judged(tls_site(), pki, "intermediate", tmp_path)
    assert follows, said


def test_a_modern_listener_follows_the_modern_profile(tls_site, pki, tmp_path):
    port = tls_site(profile="modern")
    follows, said = judged(port, pki, "modern", tmp_path)
    assert follows, said


def test_the_judge_tells_the_profiles_apart(tls_site, pki, tmp_path):
    follows, _ = judged(tls_site(), pki, "modern", tmp_path)
    assert not follows, "a listener with TLS 1.2 passes for modern: the judge judges nothing"
