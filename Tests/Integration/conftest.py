"""Fixtures of the integration tests: every node a test starts is stopped by its id when the test ends."""

import os
import pathlib
import shutil

import pytest

from support import certificates
from support.nodes import Cloud, Mosquitto, Site

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption(
        "--reference", action="store_true",
        help="run the device tests against stock mosquitto instead: a test that fails there is itself wrong",
    )


@pytest.fixture(scope="session")
def causeway(request):
    """The binary under test."""
    path = pathlib.Path(os.environ.get("CAUSEWAY", ROOT / ".build/debug/causeway"))
    if not path.exists():
        pytest.fail(f"{path} is not built: run `make build`", pytrace=False)
    return path


@pytest.fixture(scope="session", autouse=True)
def tools():
    """The tests mean nothing without the stock tools: their absence is a failure, not a skip."""
    missing = [tool for tool in ("mosquitto", "mosquitto_pub", "mosquitto_sub", "stdbuf") if not shutil.which(tool)]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}; `make test` installs them", pytrace=False)


@pytest.fixture(scope="session")
def pki(causeway, tmp_path_factory):
    """A certificate authority with a server, two devices and a bridge, made by `causeway certs`; and a foreign one."""
    return certificates.make(causeway, tmp_path_factory.mktemp("pki"))


@pytest.fixture
def nodes(tmp_path):
    """Everything a test has started; ended when it is over, with the ends of the logs in the test's output."""
    started = []
    yield started
    for node in reversed(started):
        node.end_quietly()
    for node in started:
        if node.log:
            print(f"---- the end of {node.name}'s log\n{node.log[-3000:]}")


@pytest.fixture
def site(causeway, nodes, tmp_path):
    """Makes a site from a configuration: `site()`, `site("shop", handlers=[...])`. Started unless told otherwise."""
    def make(name="store-0042", start=True, **configuration):
        node = Site(causeway, name, tmp_path / name, configuration)
        nodes.append(node)
        return node.start() if start else node

    return make


@pytest.fixture
def cloud(causeway, nodes, tmp_path):
    """Makes a cloud aggregator likewise."""
    def make(name="head-office", start=True, **configuration):
        node = Cloud(causeway, name, tmp_path / name, configuration)
        nodes.append(node)
        return node.start() if start else node

    return make


@pytest.fixture
def mosquitto(nodes, tmp_path):
    """Makes a stock mosquitto likewise."""
    def make(name="mosquitto", start=True, **options):
        node = Mosquitto(name, tmp_path / name, **options)
        nodes.append(node)
        return node.start() if start else node

    return make


@pytest.fixture
def broker(request):
    """A broker for devices: a site, or stock mosquitto with --reference."""
    if request.config.getoption("--reference"):
        return request.getfixturevalue("mosquitto")()
    return request.getfixturevalue("site")()
