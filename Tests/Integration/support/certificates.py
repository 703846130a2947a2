"""Certificates for a test run, made the way an operator makes them: with `causeway certs`."""

import pathlib
import secrets
import shutil

from .processes import run


class Pki:
    """An authority with its certificates. Each is a dictionary of paths with the names configurations use."""

    def __init__(self, causeway, folder):
        self.causeway = causeway
        self.folder = folder
        self.foreign_folder = folder / "foreign"
        own = folder / "own"
        self._certs("init", "-d", own, "--name", "Test CA")
        self._certs("server", "-d", own, "--name", "site", "localhost", "127.0.0.1")
        self._certs("server", "-d", own, "--name", "elsewhere", "elsewhere.example")
        self._certs("device", "-d", own, "monitor-1", "monitor-2", "store-0042")
        self._certs("init", "-d", self.foreign_folder, "--name", "Foreign CA")
        self._certs("device", "-d", self.foreign_folder, "monitor-1")
        self.server = self._files(own, "site")
        self.other_host = self._files(own, "elsewhere")
        self.foreign_device = self._files(self.foreign_folder, "devices/monitor-1")
        self._own = own

    def _certs(self, *arguments):
        run([self.causeway, "certs", *arguments], check=0)

    @staticmethod
    def _files(folder, name):
        return {
            "cafile": str(folder / "ca.pem"),
            "certfile": str(folder / f"{name}.pem"),
            "keyfile": str(folder / f"{name}.key"),
        }

    def device(self, name):
        return self._files(self._own, f"devices/{name}")


def make(causeway, folder):
    return Pki(causeway, folder)


def make_named(causeway, folder, names):
    """Makes the files a configuration names below `certs/`: authorities, certificates with keys, and other secrets."""
    authority = folder / "authority"
    run([causeway, "certs", "init", "-d", authority], check=0)
    for name in sorted(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        base = path.stem
        if name.endswith("ca.pem"):
            shutil.copy(authority / "ca.pem", path)
        elif name.endswith((".pem", ".key")):
            if not (authority / f"{base}.pem").exists():
                run([causeway, "certs", "server", "-d", authority, "--name", base, "--also-client", "localhost"], check=0)
            shutil.copy(authority / pathlib.Path(name).name, path)
        else:
            path.write_text(secrets.token_hex(32))
            path.chmod(0o600)
