"""The site under test: started, cut and timed by its own process id."""

import os
import pathlib
import time

from support.nodes import Site

from .peer import Broken, Peer, connect_all, run


class FaultSite(Site):
    """A site whose journal may lie elsewhere than its configuration, behind a tool that makes calls fail."""

    def __init__(self, binary, name, folder, path=None, segment="4MiB", most="4GiB", prefix=(), environment=None, **more):
        configuration = {
            "log": {"level": "info"},
            "journal": {"path": str(path or folder / "data"), "segment_bytes": segment, "max_bytes": most},
            "limits": {"max_queued_messages": 4_000_000, "max_queued_bytes": "4GiB"},
        }
        for key, value in more.items():
            if isinstance(value, dict) and key in configuration:
                configuration[key].update(value)
            else:
                configuration[key] = value
        super().__init__(binary, name, folder, configuration)
        self.prefix = list(prefix)
        self.environment = environment

    def launch(self):
        """Starts the process and returns at once."""
        self.start(ready=False)
        return self

    def start(self, ready=True):
        from support.processes import Process
        self.write()
        if self.process is None:
            command = [*self.prefix, self.binary, self.role, "-c", self.file]
            self.process = Process(self.name, command, self.folder, self.environment)
        self.process.start()
        if ready:
            self.wait_ready()
        return self

    @property
    def pid(self):
        return self.process.process.pid

    def serve(self, seconds=60.0):
        """Starts it and returns how many seconds passed until a client had its CONNACK."""
        begun = time.monotonic()
        self.launch()
        while time.monotonic() - begun < seconds:
            if not self.is_running:
                raise Broken(f"the site ended with {self.process.process.returncode}: {self.log[-2000:]}")
            probe = Peer("probe", clean=True)
            try:
                probe.open(self.port)
            except OSError:
                time.sleep(0.002)
                continue
            run([probe], lambda: probe.is_connected or probe.socket is None, seconds, "CONNACK")
            if probe.is_connected:
                taken = time.monotonic() - begun
                probe.leave()
                return taken
        raise Broken("the site does not serve")

    def memory(self, field="VmHWM"):
        """Bytes: VmHWM is the most it ever had resident, VmRSS what it has now."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        return 0

    def processor_seconds(self):
        """What the process has computed since it started, in user and kernel mode."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def readiness(self):
        """What /readyz says: status and text."""
        return self.get("/readyz")


def session(port, peer, filters):
    """Makes a persistent session with its subscriptions and leaves the peer connected."""
    from .peer import subscribe_all
    connect_all([peer], port)
    subscribe_all(peer, filters)
    return peer


def binary_from_environment():
    path = pathlib.Path(os.environ.get("CAUSEWAY", pathlib.Path(__file__).resolve().parents[3] / ".build/release/causeway"))
    if not path.exists():
        raise SystemExit(f"{path} is not built: make campaign builds it")
    return path
