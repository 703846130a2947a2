"""A hospital's configuration of Mosquitto, filled in for a test."""

import pathlib
import shutil

from .nodes import Node
from .processes import Process, accepts, free_port, run, wait_until

TEMPLATE = pathlib.Path(__file__).resolve().parents[1] / "hospital"
LISTENERS = ("wards", "devices", "dashboards", "visitors")
PASSWORDS = {"nurse": "night shift", "doctor": "Dr. 7", "dashboard": "screen"}


class Hospital(Node):
    """The configuration in a folder of its own, run by one of three: `drop-in`, `import` or stock `mosquitto`."""

    def __init__(self, causeway, way, folder, pki, centre, laboratory):
        super().__init__("hospital", folder)
        self.causeway = causeway
        self.way = way
        self.ports = {name: free_port() for name in LISTENERS}
        self.socket = folder / "local.sock"
        folder.mkdir(parents=True)
        (folder / "data").mkdir(mode=0o777)
        (folder / "data").chmod(0o777)
        (folder / "conf.d").mkdir()
        (folder / "certs").mkdir()
        words = {f"@{name.upper()}@": str(port) for name, port in self.ports.items()}
        words |= {"@CENTRE@": str(centre), "@LABORATORY@": str(laboratory)}
        for path in TEMPLATE.rglob("*"):
            if path.is_file():
                text = path.read_text()
                for word, value in words.items():
                    text = text.replace(word, value)
                if way == "mosquitto":
                    text = self._for_older(path, text)
                target = folder / path.relative_to(TEMPLATE)
                target.write_text(text)
                target.chmod(0o600 if path.name == "acl" else 0o644)
        for name, source in (("ca.pem", "cafile"), ("site.pem", "certfile"), ("site.key", "keyfile")):
            shutil.copy(pki.server[source], folder / "certs" / name)
        users = folder / "users"
        users.touch(mode=0o600)
        for name, password in PASSWORDS.items():
            run(["mosquitto_passwd", "-b", users, name, password], check=0)
        self.file = folder / "mosquitto.conf"

    @staticmethod
    def _for_older(path, text):
        """What Debian's Mosquitto takes, which is older than 2.1 and gives up its rights to these files."""
        lines = [line for line in text.splitlines() if not line.startswith("accept_protocol_versions")]
        return "\n".join(lines + (["user root"] if path.name == "mosquitto.conf" else [])) + "\n"

    def imported(self):
        """`causeway import`, as a finished process; its result is site.yaml."""
        return run(
            [self.causeway, "import", "mosquitto.conf", "-o", "site.yaml", "--site", "hospital-7", "--force"],
            cwd=self.folder,
        )

    def start(self):
        if self.process is None:
            if self.way == "import":
                result = self.imported()
                assert result.returncode == 0, result.stderr
            arguments = {
                "drop-in": [self.causeway, "site", "--mosquitto-conf", self.file],
                "import": [self.causeway, "site", "-c", self.folder / "site.yaml"],
                "mosquitto": ["mosquitto", "-c", self.file],
            }[self.way]
            self.process = Process(self.name, arguments, self.folder)
        self.process.start()
        wait_until(self._is_up, "the hospital's broker is up")
        return self

    def _is_up(self):
        assert self.is_running, f"it ended with {self.process.process.returncode}:\n{self.log[-4000:]}"
        return all(accepts(port) for port in self.ports.values()) and self.socket.exists()
