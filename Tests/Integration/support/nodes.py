"""The brokers of a test: our site and cloud, and stock mosquitto in either role."""

import http.client
import json
import signal
import sqlite3

from .processes import DEADLINE_SECONDS, LOOPBACK, Process, accepts, free_port, wait_until


class Node:
    """What all brokers of a test have in common."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.process = None

    @property
    def is_running(self):
        return self.process is not None and self.process.is_running

    @property
    def log(self):
        return self.process.log if self.process else ""

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop()

    def pause(self):
        """Stops it without a word to its peers: connections stay open and nothing moves."""
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def end_quietly(self):
        if self.process:
            self.process.end_quietly()


class CausewayNode(Node):
    """`causeway site` or `causeway cloud` with a configuration given as a dictionary."""

    def __init__(self, binary, role, name, folder, configuration):
        super().__init__(name, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.role = role
        self.configuration = configuration
        self.console_port = free_port()
        configuration.setdefault("console", {"bind": f"{LOOPBACK}:{self.console_port}"})
        configuration.setdefault("log", {"level": "debug"})
        self.file = folder / f"{role}.yaml"
        self.binary = binary

    def write(self):
        # JSON is YAML, and needs no library.
        self.file.write_text(json.dumps(self.configuration, indent=2))

    def start(self, ready=True):
        self.write()
        if self.process is None:
            self.process = Process(self.name, [self.binary, self.role, "-c", self.file], self.folder)
        self.process.start()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=DEADLINE_SECONDS):
        def ready():
            assert self.is_running, f"{self.name} ended with {self.process.process.returncode}:\n{self.log[-4000:]}"
            return self.get("/readyz")[0] == 200

        wait_until(ready, f"{self.name} is ready", seconds)

    def get(self, path):
        """Status and text of a console page; status 0 when nobody answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.console_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The sum of a metric's samples whose labels hold the given ones; None when there is no such sample."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        values = []
        for line in self.get("/metrics")[1].splitlines():
            head, _, value = line.rpartition(" ")
            if head.split("{")[0] == name and all(label in head for label in wanted):
                values.append(float(value))
        return sum(values) if values else None


class Site(CausewayNode):
    def __init__(self, binary, name, folder, configuration):
        self.port = free_port()
        configuration.setdefault("site", name)
        if "site_broker" not in configuration:
            configuration.setdefault("listeners", [{"bind": f"{LOOPBACK}:{self.port}"}])
        configuration.setdefault("journal", {"path": "data", "segment_bytes": "4MiB", "max_bytes": "512MiB"})
        super().__init__(binary, "site", name, folder, configuration)

    @property
    def journal_folder(self):
        return self.folder / self.configuration["journal"]["path"]


class Cloud(CausewayNode):
    def __init__(self, binary, name, folder, configuration):
        self.port = free_port()
        configuration.setdefault("cloud", name)
        if "broker_address" not in configuration:
            configuration.setdefault("broker", {"listeners": [{"bind": f"{LOOPBACK}:{self.port}"}]})
            configuration.setdefault("journal", {"path": "data", "segment_bytes": "4MiB", "max_bytes": "512MiB"})
        configuration.setdefault("store", {"sqlite": "cloud.sqlite"})
        super().__init__(binary, "cloud", name, folder, configuration)

    @property
    def database(self):
        return self.folder / self.configuration["store"]["sqlite"]

    def rows(self, statement, *values):
        """The rows of a query, read beside the running aggregator; none while there is no such table."""
        if not self.database.exists():
            return []
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()


class Mosquitto(Node):
    """Stock mosquitto that keeps everything and drops nothing, so that what is lost was lost elsewhere."""

    def __init__(self, name, folder, lines=(), tls=None):
        super().__init__(name, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.lines = [
            f"listener {self.port} {LOOPBACK}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            "log_type all",
            "user root",
        ]
        if tls is None:
            self.lines.append("allow_anonymous true")
        else:
            self.lines += [
                f"cafile {tls['cafile']}", f"certfile {tls['certfile']}", f"keyfile {tls['keyfile']}",
                "require_certificate true", "use_identity_as_username true", "allow_anonymous false",
            ]
        self.lines += lines

    def start(self):
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(self.lines) + "\n")
        if self.process is None:
            self.process = Process(self.name, ["mosquitto", "-c", configuration], self.folder)
        self.process.start()
        wait_until(lambda: accepts(self.port), f"{self.name} listens")
        return self
