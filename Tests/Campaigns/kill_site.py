#!/usr/bin/env python3
"""kill -9 of a site node at random instants under QoS 1 load: every PUBACKed message must reach its subscribers.

One subscriber is offline while the load runs, the other online. After every kill the node is started again, both come
back, and what was acknowledged is compared with what they got. The control runs the same against mosquitto with its
default persistence, where the loss must be seen:

    Tests/Campaigns/kill_site.py --causeway .build/release/causeway --rounds 20 --seed 1
    Tests/Campaigns/kill_site.py --broker mosquitto --rounds 3

Needs paho-mqtt 2; PYTHON names an interpreter that has it. Ends with "N passed, N failed" and leaves a JSON file.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

if os.environ.get("PYTHON") and os.environ["PYTHON"] != sys.executable and "CAMPAIGN_CHILD" not in os.environ:
    os.environ["CAMPAIGN_CHILD"] = "1"
    os.execv(os.environ["PYTHON"], [os.environ["PYTHON"], *sys.argv])

import paho.mqtt.client as mqtt

TOPIC = "load/numbers"
PAYLOAD_BYTES = 256
WINDOW = 20
START_DEADLINE_SECONDS = 30
CALL_DEADLINE_SECONDS = 10
# A drain ends when everything acknowledged is there, or when nothing came for this long.
DRAIN_QUIET_SECONDS = 3
LOAD_SECONDS = (0.2, 1.5)


class Failure(Exception):
    """Something the campaign itself could not do."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker process on a loopback port with its files in a folder."""

    def __init__(self, options, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.log = open(folder / "broker.log", "ab")
        if options.broker == "mosquitto":
            configuration = folder / "mosquitto.conf"
            data = folder / "data"
            data.mkdir()
            configuration.write_text(
                f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
                f"persistence true\npersistence_location {data}/\nmax_queued_messages 0\n"
            )
            self.command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(configuration)]
        else:
            configuration = folder / "site.yaml"
            configuration.write_text(
                "site: kill-test\n"
                f"listeners: [{{bind: 127.0.0.1:{self.port}, allow_anonymous: true}}]\n"
                f"journal: {{path: {folder / 'journal'}, sync: {options.sync}}}\n"
            )
            self.command = [options.causeway, "site", "-c", str(configuration)]

    def start(self):
        """Starts it and returns how many seconds it took to accept a connection."""
        begun = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while time.monotonic() - begun < START_DEADLINE_SECONDS:
            if self.process.poll() is not None:
                raise Failure(f"the broker ended with status {self.process.returncode}, see {self.folder}/broker.log")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return time.monotonic() - begun
            except OSError:
                time.sleep(0.005)
        raise Failure("the broker does not accept connections")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()


class Client:
    """A paho client whose calls are waited for, and that never reconnects by itself."""

    def __init__(self, name, port, clean):
        self.port = port
        self.condition = threading.Condition()
        self.connected = None
        self.session_present = False
        self.subscribed = False
        self.disconnected = False
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, reconnect_on_failure=False
        )
        self.mqtt.max_inflight_messages_set(WINDOW)
        self.mqtt.on_connect = self.on_connect
        self.mqtt.on_subscribe = self.on_subscribe
        self.mqtt.on_disconnect = self.on_disconnect

    def on_connect(self, client, userdata, flags, reason, properties):
        with self.condition:
            self.connected = reason
            self.session_present = flags.session_present
            self.condition.notify_all()

    def on_subscribe(self, client, userdata, mid, reasons, properties):
        with self.condition:
            self.subscribed = not any(reason.is_failure for reason in reasons)
            self.condition.notify_all()

    def on_disconnect(self, client, userdata, flags, reason, properties):
        with self.condition:
            self.disconnected = True
            self.condition.notify_all()

    def wait(self, condition, what):
        with self.condition:
            if not self.condition.wait_for(condition, CALL_DEADLINE_SECONDS):
                raise Failure(f"waited in vain for {what}")

    def connect(self):
        self.mqtt.connect("127.0.0.1", self.port, keepalive=60)
        self.mqtt.loop_start()
        self.wait(lambda: self.connected is not None, "CONNACK")
        if self.connected.is_failure:
            raise Failure(f"refused: {self.connected}")

    def leave(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


class Subscriber:
    """A client with a persistent session, over all its connections."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.received = {}
        self.first_seen = []
        self.duplicates = 0
        self.damaged = 0
        self.last_message = time.monotonic()
        self.client = None

    def on_message(self, client, userdata, message):
        self.last_message = time.monotonic()
        number = int(message.payload[:10]) if message.payload[:10].isdigit() else -1
        if bytes(message.payload) != payload(number):
            self.damaged += 1
        elif number in self.received:
            self.duplicates += 1
        else:
            self.received[number] = True
            self.first_seen.append(number)

    def connect(self, subscribe=False):
        """Connects and returns whether the broker still had the session."""
        self.client = Client(self.name, self.port, clean=False)
        self.client.mqtt.on_message = self.on_message
        self.client.connect()
        if subscribe:
            self.client.mqtt.subscribe(TOPIC, 1)
            self.client.wait(lambda: self.client.subscribed, "SUBACK")
        self.last_message = time.monotonic()
        return self.client.session_present

    def drain(self, numbers):
        while not numbers.issubset(self.received) and time.monotonic() - self.last_message < DRAIN_QUIET_SECONDS:
            time.sleep(0.01)

    def leave(self):
        self.client.leave()


def payload(number):
    head = f"{number:010}".encode()
    return head + bytes((number * 31 + index) & 0xFF for index in range(PAYLOAD_BYTES - len(head)))


class Load:
    """A publisher that keeps a window of QoS 1 messages full and remembers which were acknowledged."""

    def __init__(self, port, first):
        self.next = first
        self.numbers = {}
        self.early = set()
        self.acknowledged = set()
        self.lock = threading.Lock()
        self.room = threading.Semaphore(WINDOW)
        self.client = Client(f"load-{first}", port, clean=True)
        self.client.mqtt.on_publish = self.on_publish
        self.thread = threading.Thread(target=self.run, daemon=True)

    def on_publish(self, client, userdata, mid, reason, properties):
        with self.lock:
            if mid in self.numbers:
                self.acknowledged.add(self.numbers.pop(mid))
            else:
                self.early.add(mid)
        self.room.release()

    def start(self):
        self.client.connect()
        self.thread.start()

    def run(self):
        while not self.client.disconnected:
            if not self.room.acquire(timeout=0.1):
                continue
            # Not under the lock: paho calls on_publish with locks of its own held. The PUBACK may so come first.
            information = self.client.mqtt.publish(TOPIC, payload(self.next), 1)
            with self.lock:
                if information.mid in self.early:
                    self.early.discard(information.mid)
                    self.acknowledged.add(self.next)
                elif information.rc == mqtt.MQTT_ERR_SUCCESS:
                    self.numbers[information.mid] = self.next
            self.next += 1

    def finish(self):
        """After the broker died: what its last PUBACKs said counts too."""
        self.client.wait(lambda: self.client.disconnected, "the end of the connection")
        self.thread.join()
        self.client.mqtt.loop_stop()
        return self.acknowledged


def inversions(numbers):
    return sum(1 for before, after in zip(numbers, numbers[1:]) if after < before)


def play(broker, offline, online, rng, first):
    """One round: load, kill, start, compare."""
    load = Load(broker.port, first)
    load.start()
    time.sleep(rng.uniform(*LOAD_SECONDS))
    broker.kill()
    acknowledged = load.finish()
    online.leave()
    online_before = len(online.received)
    seconds = broker.start()
    result = {
        "acknowledged": len(acknowledged),
        "online_before_kill": online_before,
        "restart_seconds": round(seconds, 3),
    }
    for subscriber in (offline, online):
        present = subscriber.connect()
        subscriber.drain(acknowledged)
        lost = sorted(acknowledged - subscriber.received.keys())
        unknown = [number for number in subscriber.received if not 0 <= number < load.next]
        result[subscriber.name] = {
            "session_present": present,
            "lost": len(lost),
            "first_lost": lost[:5],
            "never_published": len(unknown),
            "damaged": subscriber.damaged,
            "out_of_order": inversions(subscriber.first_seen),
            "duplicates_so_far": subscriber.duplicates,
        }
        if not present:
            # The session is gone with its subscription: the next round needs it again.
            subscriber.client.mqtt.subscribe(TOPIC, 1)
            subscriber.client.wait(lambda: subscriber.client.subscribed, "SUBACK")
    offline.leave()
    checks = [result[subscriber.name] for subscriber in (offline, online)]
    result["passed"] = len(acknowledged) > 0 and all(
        check["session_present"]
        and not (check["lost"] or check["never_published"] or check["damaged"] or check["out_of_order"])
        for check in checks
    )
    return result, load.next


def campaign(options, folder):
    rng = random.Random(options.seed)
    broker = Broker(options, folder)
    rounds = []
    try:
        broker.start()
        offline, online = Subscriber("offline", broker.port), Subscriber("online", broker.port)
        offline.connect(subscribe=True)
        offline.leave()
        online.connect(subscribe=True)
        first = 0
        for number in range(1, options.rounds + 1):
            result, first = play(broker, offline, online, rng, first)
            rounds.append(result)
            lost = {name: result[name]["lost"] for name in ("offline", "online")}
            print(
                f"round {number}: {result['acknowledged']} acknowledged, lost {lost['offline']} offline and "
                f"{lost['online']} online, restart {result['restart_seconds']} s: "
                f"{'ok' if result['passed'] else 'FAILED'}",
                flush=True,
            )
        online.leave()
    finally:
        broker.stop()
    return rounds


def version_of(options):
    command = ["mosquitto", "-h"] if options.broker == "mosquitto" else [options.causeway, "version"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.splitlines()
        return lines[0] if lines else "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    brokers = ["causeway", "mosquitto"]
    parser.add_argument("--broker", choices=brokers, default="causeway", help="mosquitto is the control")
    parser.add_argument("--causeway", default=os.environ.get("CAUSEWAY"), help="the executable; default $CAUSEWAY")
    parser.add_argument("--sync", default="always", help="journal.sync of the site")
    parser.add_argument("--rounds", type=int, default=20)
    fresh = random.SystemRandom().randrange(1 << 32)
    parser.add_argument("--seed", type=int, default=fresh, help="repeat a run's instants")
    parser.add_argument("--evidence", type=pathlib.Path, default=pathlib.Path("evidence/kill-site.json"))
    parser.add_argument("--keep", action="store_true", help="keep the broker's folder")
    options = parser.parse_args()
    if options.broker == "causeway" and not options.causeway:
        parser.error("--causeway or CAUSEWAY is needed")
    print(f"seed {options.seed}, {options.rounds} rounds against {options.broker}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-kill-"))
    begun = time.time()
    try:
        rounds = campaign(options, folder)
    except (Failure, OSError) as error:
        print(f"the campaign could not go on: {error}\n0 passed, {options.rounds} failed")
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    passed = sum(result["passed"] for result in rounds)
    totals = {
        "acknowledged": sum(result["acknowledged"] for result in rounds),
        "lost_offline": sum(result["offline"]["lost"] for result in rounds),
        "lost_online": sum(result["online"]["lost"] for result in rounds),
        "duplicates_offline": rounds[-1]["offline"]["duplicates_so_far"] if rounds else 0,
        "duplicates_online": rounds[-1]["online"]["duplicates_so_far"] if rounds else 0,
    }
    options.evidence.parent.mkdir(parents=True, exist_ok=True)
    options.evidence.write_text(
        json.dumps(
            {
                "campaign": "kill-site",
                "broker": options.broker,
                "version": version_of(options),
                "sync": options.sync if options.broker == "causeway" else None,
                "seed": options.seed,
                "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
                "seconds": round(time.time() - begun, 1),
                "machine": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
                "totals": totals,
                "rounds": rounds,
            },
            indent=1,
        )
        + "\n"
    )
    print(f"totals: {totals}; evidence in {options.evidence}")
    print(f"{passed} passed, {len(rounds) - passed} failed")
    if options.broker == "mosquitto":
        # The control must see what mosquitto loses by default; a check that sees nothing checks nothing.
        seen = totals["lost_offline"] > 0
        print(f"control: loss {'seen, as it must be' if seen else 'NOT seen'}")
        return 0 if seen else 1
    return 0 if passed == len(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
