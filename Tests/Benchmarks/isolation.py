"""Whether the site feels its cloud: the local p99 while the cloud is black-holed, does not resolve, or is behind by
500 MB, beside the p99 of a quiet site with the same bridge. Of Causeway alone.

The cloud is a Mosquitto on either CPU. The name server that does not answer needs root and `unshare`.
"""

import contextlib
import os
import shutil
import socket
import tempfile

from brokers import Causeway, Failure, Mosquitto, free_port

RATE = 2_000
BACKLOG_BYTES = 500_000_000
BACKLOG_PAYLOAD_BYTES = 16_384
BACKLOG_PUBLISHERS = 10
# Address of our own in the loopback network, so that no resolver of this machine is in the way.
SILENT_RESOLVER = "127.0.0.86"


def bridge(address):
    """A bridge for what the load publishes, and for the backlog."""
    return f"""bridges:
  - name: cloud
    address: mqtt://{address}
    insecure: true
    confirm: puback
    max_outbox_bytes: 2GiB
    restart: {{ base: 200ms, cap: 1s }}
    routes:
      - {{ topic: "bench/#", class: telemetry }}
"""


class HiddenResolver(Causeway):
    """A site that asks a name server which never answers: in a mount namespace with a resolv.conf of its own."""

    def command(self):
        if os.geteuid() != 0 or not shutil.which("unshare"):
            raise Failure("a name server that hangs needs root and unshare")
        resolver = self.folder / "resolv.conf"
        resolver.write_text(f"nameserver {SILENT_RESOLVER}\noptions timeout:30 attempts:1\n")
        script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(resolver), *super().command()]


@contextlib.contextmanager
def black_hole():
    """A port whose connections are never established: the queue of the listener is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def silent_resolver():
    """Takes questions and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((SILENT_RESOLVER, 53))
        yield


def measure(load):
    """One round of all four: `load(bench, broker, mode, *options)` runs the generator."""
    def local_p99(bench, broker, seconds=None):
        options = ("--rate", RATE, "--clients", 20, "--qos", 1)
        return load(bench, broker, "latency", *options, seconds=seconds or bench.seconds)["p99"]

    def fill(bench, broker):
        """Publishes into the bridge until the backlog is there."""
        sent = 0
        options = ("--qos", 1, "--clients", BACKLOG_PUBLISHERS, "--payload", BACKLOG_PAYLOAD_BYTES, "--inflight", 20)
        while sent < BACKLOG_BYTES:
            numbers = load(bench, broker, "pairs", *options, "--warmup", 0, seconds=1)
            if numbers["total"] == 0:
                raise Failure("the backlog does not grow")
            sent += numbers["total"] * BACKLOG_PAYLOAD_BYTES

    def one_round(bench, _):
        def folder(name):
            return tempfile.mkdtemp(dir=bench.work) + "/" + name

        def site(address, kind=Causeway):
            return kind(folder("c"), bench.causeway, extra=bridge(address))

        figures = {}
        with Mosquitto(folder("m"), cpu=None) as cloud, site(f"127.0.0.1:{cloud.port}") as broker:
            figures["quiet"] = quiet = local_p99(bench, broker)
        with black_hole() as port, site(f"127.0.0.1:{port}") as broker:
            figures["black_hole"] = local_p99(bench, broker) / quiet
        with silent_resolver(), site("cloud.example:1883", HiddenResolver) as broker:
            figures["resolver"] = local_p99(bench, broker) / quiet
        cloud = Mosquitto(folder("m"), cpu=None)
        with site(f"127.0.0.1:{cloud.port}") as broker:
            fill(bench, broker)
            # It comes back, and the backlog drains while the site works on.
            with cloud:
                figures["backlog"] = local_p99(bench, broker) / quiet
        return figures

    return one_round
