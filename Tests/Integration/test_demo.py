"""The demo is a test of the whole chain: it ends with a proof, and the proof has to hold."""

import json

from support.processes import run


def test_the_proof_of_a_short_demo_holds(causeway, tmp_path):
    result = run(
        [causeway, "demo", "--seconds", 10, "--devices", 40, "--json"], seconds=240, cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    proof = json.loads(result.stdout.strip().splitlines()[-1])
    assert proof["missing"] == 0 and proof["duplicates"] == 0
    assert proof["published"] > 0 and proof["decided"] > 0
    assert proof["stored"] == proof["bridged"] > 0
    # The link was really down, and something waited for it.
    assert proof["outageSeconds"] > 1 and proof["backlog"] > 0
