"""Docs/Attacks.md: written from the cases, their tests and the report of the last run.

    python -m attack.table    # in Tests/Attacks, with PYTHONPATH=../Integration; writes the page
"""

import ast
import json
import pathlib
import re

from .cases import CASES, WITHOUT_TEST
from .report import ROOT

HERE = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "Docs/Attacks.md"

HEAD = """# Attacks

What attackers and faults have done to brokers, and what happens when they try it here. Each case is one or more tests in
`Tests/Attacks`; `make attacks` runs them in a short form, `make campaign NAME=attacks` with full counts. Every test also
asserts that the broker lives, that a bystander's messages go on, and that memory is within 16 MiB of what it was (where more
is allowed, the test says how much). How long the bystander's messages took meanwhile is in `.build/attacks.json`.

The last column is what the last complete run of `make attacks` gave. The tests marked `applies_to_mosquitto` can be made on
stock Mosquitto too, for comparison: `pytest -c Tests/Attacks/pytest.ini Tests/Attacks --broker mosquitto` writes
`.build/attacks-mosquitto.json`. Differences there are often choices and no flaws (such as another reason code), so what it
says needs to be looked at one by one.

"""


def tests_by_case():
    """The names of the test functions of each case, in the order of the files."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and (matched := re.match(r"test_([a-e]\d+)_", node.name)):
                found.setdefault(matched[1].upper(), []).append((node.name, ast.get_docstring(node) or ""))
    return found


def results():
    path = ROOT / ".build/attacks.json"
    return json.loads(path.read_text())["cases"] if path.exists() else {}


def rows():
    """The rows of the page: case, what it is, tests."""
    tests = tests_by_case()
    for case, title in CASES.items():
        names = "<br>".join(f"`{name}`" for name, _ in tests.get(case, []))
        yield case, title, names or WITHOUT_TEST.get(case, "")


def write():
    ours = results()
    lines = ["| Case | Attack | Tests, or why there is none | Result |", "|---|---|---|---|"]
    for case, title, tests in rows():
        here = {"passed": "held", "failed": "FAILED"}.get(ours.get(case), "not run")
        lines.append(f"| {case} | {title} | {tests} | {here} |")
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
