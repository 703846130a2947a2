"""The brokers that are measured: each a process of its own, pinned to one CPU, its files below one folder."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

BROKER_CPU = 0
LOAD_CPU = 1
START_SECONDS = 30
STOP_SECONDS = 15


class Failure(Exception):
    """Something that keeps a figure from being measured."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pin(cpu):
    """For `preexec_fn`: the child runs on this CPU alone, or wherever the system likes."""
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})


class Broker:
    """A broker in the making: subclasses write its configuration and say how it is called."""

    name = ""

    def __init__(self, folder, tls=None, cpu=BROKER_CPU):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.tls = tls
        self.cpu = cpu
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        command = self.command()
        log = open(self.folder / "broker.log", "wb")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=pin(self.cpu)
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}: {self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise Failure(f"{self.name} accepts no connections: {self.log()}")

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return (self.folder / "broker.log").read_text(errors="replace")[-2000:]

    def processor_seconds(self):
        """Time on a CPU of all its threads so far: to the nanosecond, where `stat` counts ticks of 10 ms."""
        nanoseconds = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue
        return nanoseconds / 1e9

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failure(f"{self.name} has no VmRSS")


class Causeway(Broker):
    """A site as configured by default, its journal on the disk of the work folder, syncing before it acknowledges."""

    name = "causeway"

    def __init__(self, folder, binary, extra="", **options):
        super().__init__(folder, **options)
        self.binary = binary
        self.extra = extra

    def command(self):
        listeners = [f'  - {{ bind: "127.0.0.1:{self.port}", allow_anonymous: true }}']
        if self.tls:
            listeners.append(
                f'  - {{ bind: "127.0.0.1:{self.tls_port}", allow_anonymous: true, max_connections: 20000, '
                f'tls: {{ certfile: "{self.tls["cert"]}", keyfile: "{self.tls["key"]}" }} }}'
            )
        path = self.folder / "site.yaml"
        path.write_text(
            "site: bench\nlisteners:\n" + "\n".join(listeners)
            # As many connections from one address, and as fast, as a generator on this machine makes.
            + "\nlimits: { max_connections: 20000, max_connections_per_address: 20000, "
            "max_connection_rate_per_address: 100000, max_connection_burst_per_address: 100000, "
            "max_subscriptions: 10000 }\n"
            f'journal: {{ path: "{self.folder}/journal" }}\n' + self.extra
        )
        return [self.binary, "site", "-c", str(path)]

    @staticmethod
    def version(binary):
        return subprocess.run([binary, "version"], capture_output=True, text=True).stdout.strip()


class Mosquitto(Broker):
    """Debian's Mosquitto, with nothing on disk; `extra` are further lines of its configuration."""

    name = "mosquitto"
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

    def __init__(self, folder, extra="", **options):
        super().__init__(folder, **options)
        self.extra = extra

    def command(self):
        lines = ["allow_anonymous true", "persistence false", "log_type error", "user root", self.extra]
        lines.append(f"listener {self.port} 127.0.0.1")
        if self.tls:
            lines += [
                f"listener {self.tls_port} 127.0.0.1", f"certfile {self.tls['cert']}", f"keyfile {self.tls['key']}",
                "tls_version tlsv1.3",
            ]
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return [self.binary, "-c", str(path)]

    @staticmethod
    def version():
        text = subprocess.run([Mosquitto.binary, "-h"], capture_output=True, text=True).stdout
        return text.splitlines()[0].rsplit("version ", 1)[-1] if text else "unknown"
