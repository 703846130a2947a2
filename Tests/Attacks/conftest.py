"""Fixtures of the attacks: those of the integration tests, and the arena in which every attack happens."""

import importlib.util
import json
import os
import pathlib
import random
import re
import resource

import pytest

from attack.arena import Arena
from attack.report import Report
from support.processes import run

HERE = pathlib.Path(__file__).resolve().parent


def integration_fixtures():
    """The integration tests' own fixtures, under another module name: two modules cannot both be `conftest`."""
    path = HERE.parent / "Integration" / "conftest.py"
    specification = importlib.util.spec_from_file_location("integration_conftest", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


_shared = integration_fixtures()
causeway, tools, pki, nodes, site, mosquitto = (
    _shared.causeway, _shared.tools, _shared.pki, _shared.nodes, _shared.site, _shared.mosquitto
)


def pytest_addoption(parser):
    parser.addoption("--broker", choices=["causeway", "mosquitto"], default="causeway", help="whom to attack")
    parser.addoption("--report", default="attacks", help="the name of the report in .build")
    parser.addoption("--sequences", type=int, help="random sequences for each kind of access control")
    parser.addoption("--campaign", action="store_true", help="full counts: hours of attackers instead of seconds")


def pytest_configure(config):
    # Thousands of connections on either side of the loopback.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    config.seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    config.report = Report(config.getoption("--broker"), config.getoption("--campaign"), config.seed,
                           config.getoption("--report"))


def pytest_report_header(config):
    return f"seed {config.seed} (SEED=… repeats a run)"


def pytest_collection_modifyitems(config, items):
    if config.getoption("--broker") == "mosquitto":
        chosen = [item for item in items if item.get_closest_marker("applies_to_mosquitto")]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_sessionfinish(session):
    session.config.report.write()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture(scope="session")
def seed(request):
    return request.config.seed


@pytest.fixture
def source(request, seed):
    """Random numbers of this test, the same for the same seed."""
    print(f"seed {seed}")
    return random.Random(f"{seed}/{request.node.nodeid}")


@pytest.fixture(scope="session")
def defaults(causeway, tmp_path_factory):
    """What every site under attack has, as far as the executable knows it: an audit log, and room for one attacker.

    All attackers come from a few addresses, faster than the default lets one address connect.
    """
    found = {}
    for option, value in (("audit", {"path": "audit"}), ("limits", {"max_connection_rate_per_address": 100_000})):
        file = tmp_path_factory.mktemp("probe") / "site.yaml"
        file.write_text(json.dumps({"site": "a", "listeners": [{"bind": "127.0.0.1:1883"}], option: value}))
        if run([causeway, "check", "-c", file], cwd=file.parent).returncode == 0:
            found[option] = value
    return found


@pytest.fixture
def arena(request, causeway, nodes, tmp_path, defaults):
    options = request.config
    place = Arena(
        causeway, options.getoption("--broker"), tmp_path, nodes, options.getoption("--campaign"), defaults
    )
    yield place
    wrong = place.judge()
    test = getattr(request.node, "report_call", None)
    matched = re.match(r"test_([a-e]\d+)_", request.node.name)
    outcome = "failed" if wrong else (test.outcome if test else "failed")
    options.report.add(
        case=matched[1].upper() if matched else None, test=request.node.name, outcome=outcome, problems=wrong,
        said=str(test.longrepr)[-800:] if test is not None and test.failed else None,
        seconds=round(test.duration, 2) if test else None, observed=place.notes,
        targets=[target.figures() for target in place.targets],
    )
    if wrong and not (test is not None and test.skipped):
        pytest.fail("; ".join(wrong), pytrace=False)


@pytest.fixture
def target(arena):
    """A broker as it is started without a word about anything."""
    return arena.start()
