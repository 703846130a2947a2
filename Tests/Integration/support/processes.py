"""Processes, ports and waiting. Nothing here sleeps for a fixed time: waits end when their condition holds."""

import os
import random
import signal
import socket
import subprocess
import threading
import time

LOOPBACK = "127.0.0.1"

# Generous, because the machine may be busy; only a failing test waits this long.
DEADLINE_SECONDS = 60.0

_handed_out = set()


def free_port():
    """A port on loopback that nobody listens on, never the same one twice in a run.

    Below the range that the system hands out by itself, so that nobody who asks for port 0 meanwhile is given it.
    """
    while True:
        port = random.randint(15_000, 32_000)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _handed_out.add(port)
        return port


def wait_until(condition, what, seconds=DEADLINE_SECONDS):
    """Asks until the condition returns something true, and returns that; fails at the deadline saying what lacked."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        pause.wait(0.02)


def accepts(port):
    """Whether somebody accepts connections on a loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


class Process:
    """A process of this test run with its output in a file. It is ended by its own id, whatever happens."""

    def __init__(self, name, arguments, folder, environment=None):
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.folder = folder
        self.environment = {**os.environ, **(environment or {})}
        self.log_path = folder / f"{name}.log"
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.folder, env=self.environment,
            )
        return self

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and no word to it before."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def stop(self, seconds=DEADLINE_SECONDS):
        """SIGTERM, and -9 when that is not heeded in time. Returns the exit status."""
        if self.process is None:
            return None
        if self.is_running:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end within {seconds:.0f} s of SIGTERM") from None
        return self.process.returncode

    def end_quietly(self):
        """For tear-down: ends it and complains about nothing."""
        if self.is_running:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)


def run(arguments, seconds=DEADLINE_SECONDS, check=None, **options):
    """Runs a command to its end. `check` names the expected exit status, or is None for any."""
    arguments = [str(argument) for argument in arguments]
    result = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=seconds, text=True, errors="replace", **options,
    )
    if check is not None and result.returncode != check:
        raise AssertionError(
            f"{' '.join(arguments)}\nexit {result.returncode}, expected {check}\n{result.stdout}{result.stderr}"
        )
    return result
