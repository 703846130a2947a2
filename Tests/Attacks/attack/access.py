"""Users and rules in the files that Mosquitto has, and their change while the broker runs."""

import signal

from support.processes import run, wait_until

from .peer import Peer


class Rules:
    """A password file and an ACL file. `write` changes rules and sends SIGHUP."""

    def __init__(self, arena, lines, more=()):
        self.arena = arena
        self.lines = dict(lines)
        self.more = list(more)
        self.target = None
        self.version = 0
        # The last rule written is a marker: once it is in force, so are those before it.
        self.lines["marker"] = []
        self.passwords = arena.path("passwords", "")
        plain = "".join(f"{name}:{name} has a long password\n" for name in self.lines)
        self.passwords.write_text(plain)
        run(["mosquitto_passwd", "-U", self.passwords], check=0)
        self.passwords.chmod(0o600)
        self.acl = arena.path("acl", self.text())
        if arena.is_mosquitto:
            self.acl.chmod(0o644)

    def text(self):
        blocks = [
            "\n".join([f"user {name}", *lines]) for name, lines in self.lines.items() if lines and name != "marker"
        ]
        marker = f"user marker\ntopic write marker/{self.version}"
        return "\n\n".join(["\n".join(self.more), *blocks, marker]) + "\n"

    def write(self, **lines):
        self.lines.update(lines)
        self.version += 1
        self.acl.write_text(self.text())
        self.target.node.process.signal(signal.SIGHUP)

    def wait_applied(self, seconds=15):
        """Until the newest rules are in force: the marker may publish to its newest topic."""
        wanted = f"marker/{self.version}"

        def is_granted():
            with Peer(self.target.port) as marker:
                marker.enter("marker", username="marker", password="marker has a long password")
                return marker.publish(wanted, b"") < 0x80

        wait_until(is_granted, "the new rules are in force", seconds)
