"""The options of site.yaml that attacks are aimed at, in one place."""

from support.processes import LOOPBACK, Process, accepts, free_port, run, wait_until

from .arena import Target, listener, skip_or_fail


def websocket(port, path="/mqtt", origins=None, **options):
    """A WebSocket listener."""
    entry = {"paths": [path]}
    if origins is not None:
        entry["origins"] = origins
    return listener(port, protocol="websockets", websockets=entry, **options)


def passwords(arena, **users):
    """A password file as mosquitto_passwd writes it."""
    path = arena.path("passwords", "")
    for name, password in users.items():
        run(["mosquitto_passwd", "-b", path, name, password], check=0)
    path.chmod(0o600)
    return path


class MosquittoSite:
    """`causeway site --mosquitto-conf`: the site as a drop-in for Mosquitto."""

    def __init__(self, arena, lines):
        self.port = free_port()
        self.folder = arena.folder / f"drop-in-{self.port}"
        self.folder.mkdir()
        self.file = self.folder / "mosquitto.conf"
        self.write(lines)
        self.name = "drop-in"
        command = [arena.causeway, "site", "--mosquitto-conf", self.file]
        self.process = Process(self.name, command, self.folder)

    def write(self, lines):
        head = [f"listener {self.port} {LOOPBACK}", "persistence true", f"persistence_location {self.folder}/"]
        if not any(line.startswith("allow_anonymous") for line in lines):
            head.append("allow_anonymous true")
        self.file.write_text("\n".join([*head, *lines]) + "\n")

    def start(self):
        self.process.start()
        wait_until(lambda: accepts(self.port) or not self.is_running, "the drop-in listens")
        assert self.is_running, self.log[-2000:]
        return self

    @property
    def is_running(self):
        return self.process.is_running

    @property
    def log(self):
        return self.process.log

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop()

    def end_quietly(self):
        self.process.end_quietly()


def mosquitto_site(arena, lines):
    """A running drop-in, ended with the test."""
    if "--mosquitto-conf" not in run([arena.causeway, "site", "--help"]).stdout:
        skip_or_fail("the executable does not know --mosquitto-conf yet")
    node = MosquittoSite(arena, lines)
    arena.nodes.append(node)
    node.start()
    target = Target(node, node.port, {})
    arena.targets.append(target)
    target.watch()
    return node


def require(arena, *names):
    """Skips (or fails) where the executable does not know an option."""
    port = free_port()
    text = f"site: a\nlisteners:\n  - bind: 127.0.0.1:{port}\n"
    probes = {
        "access": "access: { acl_file: acl }\n", "jwt": "users: { jwt: { jwks_file: none } }\n",
        "audit": "audit: { path: audit }\n",
    }
    for name in names:
        file = arena.path(f"probe-{name}/site.yaml", text + probes[name])
        said = run([arena.causeway, "check", "-c", file], cwd=file.parent)
        said = said.stdout + said.stderr
        if f"unknown setting '{name}'" in said or f"{name}: expected a list, found a mapping" in said:
            skip_or_fail(f"the executable does not know {name} yet")
