"""File systems that a test may take away: a loop-mounted image whose file system is shut down, and a small tmpfs."""

import ctypes
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess

from support.processes import wait_until

# FS_IOC_SHUTDOWN of ext4 and xfs: nothing that is not synced reaches the disk any more, and neither does the journal of
# the file system.
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


def is_possible():
    """Why file systems cannot be mounted here, or None if they can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if not shutil.which("mkfs.ext4") or not shutil.which("mkfs.xfs"):
        return "mkfs.ext4 or mkfs.xfs (xfsprogs) is not installed"
    return None


def _run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise OSError(f"{command}: {result.stderr.strip()}")


def _output(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True).stdout.strip()


CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18
_own_mounts_made = False


def own_mounts():
    """Mounts of our own from here on. Else whoever is given a copy of the machine's mounts meanwhile, such as a build
    in a sandbox, would keep a file system alive that we have unmounted."""
    global _own_mounts_made
    if _own_mounts_made:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "no mounts of our own")
    _own_mounts_made = True


class LoopDisk:
    """An ext4 or xfs image, mounted over a loop device."""

    def __init__(self, folder, kind, megabytes=1024):
        own_mounts()
        folder.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self.image = folder / f"{kind}.img"
        self.path = folder / kind
        self.path.mkdir(exist_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(megabytes << 20)
        _run(f"mkfs.{kind}", *(["-q"] if kind == "ext4" else ["-q", "-f"]), self.image)
        self.mount()

    def mount(self):
        _run("mount", "-o", "loop", self.image, self.path)

    def shut_down(self):
        """The power goes, as far as the disk is concerned."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self):
        _run("umount", self.path)
        # The loop device goes with its last user; mounted again before that, it would be the file system that is shut.
        wait_until(lambda: not _output("losetup", "-j", self.image), "the loop device is free", 20)

    def restart(self):
        self.unmount()
        self.mount()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.path)], capture_output=True)
        self.image.unlink(missing_ok=True)


class SmallDisk:
    """A tmpfs of a few megabytes."""

    def __init__(self, folder, megabytes=64):
        own_mounts()
        self.path = pathlib.Path(folder)
        self.path.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "causeway-campaign", self.path)

    @property
    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.path)], capture_output=True)
