#!/usr/bin/env python3
"""The Swift tests under ThreadSanitizer or AddressSanitizer. Each has a build of its own, of some minutes.

    make campaign NAME=sanitize ARGS="thread"
    make campaign NAME=sanitize ARGS="address --filter 'BrokerTests|MQTTTests'"

ThreadSanitizer does not see into libswiftSynchronization, where a Mutex waits that another thread holds, and would
report each of those as a race: Sanitizers/mutex_tsan.c tells it. Nothing is suppressed. Ends with 1 if a test fails
or anything is reported; what was said is in .build/logs/.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPORTS = ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer")


def shim():
    """Built with the clang of the toolchain, which knows Swift's calling convention."""
    clang = pathlib.Path(shutil.which("swift")).resolve().parent / "clang"
    library = ROOT / ".build/mutex_tsan.so"
    source = ROOT / "Tests/Campaigns/Sanitizers/mutex_tsan.c"
    subprocess.run([clang, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return library


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sanitizer", choices=["thread", "address"])
    parser.add_argument("--filter", help="tests whose names match")
    parser.add_argument("--skip", help="tests whose names do not match")
    options = parser.parse_args()
    (ROOT / ".build/logs").mkdir(parents=True, exist_ok=True)
    flags = ["--sanitize", options.sanitizer, "--scratch-path", f".build/{options.sanitizer}"]
    subprocess.run(["swift", "build", "--build-tests", *flags], cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
    environment = dict(os.environ, SWIFT_BACKTRACE="enable=no")
    # Everything takes several times as long: few at a time, or they hold each other still for longer than a deadline.
    environment.setdefault("SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH", "2")
    if options.sanitizer == "thread":
        environment["LD_PRELOAD"] = str(shim())
        environment["TSAN_OPTIONS"] = "halt_on_error=0"
    else:
        # Swift's runtime and libmosquitto keep what they need until the process ends.
        environment["ASAN_OPTIONS"] = "detect_leaks=0"
    command = ["swift", "test", "--skip-build", "--disable-xctest", *flags]
    for option in ("filter", "skip"):
        if value := getattr(options, option):
            command += [f"--{option}", value]
    log = ROOT / f".build/logs/sanitize-{options.sanitizer}.log"
    with open(log, "wb") as output:
        status = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ).returncode
    text = log.read_text(errors="replace")
    reports = sum(text.count(report) for report in REPORTS)
    verdict = next((line for line in reversed(text.splitlines()) if "Test run with" in line), "no verdict")
    print(f"{verdict.strip()}\n{reports} reports, status {status}, {log}")
    return 1 if status or reports else 0


if __name__ == "__main__":
    sys.exit(main())
