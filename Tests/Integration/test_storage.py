"""What stands on the disk: causeway journal, doctor, backup and restore."""

import json
import os
import shutil
import tarfile
import threading

import pytest

from support.chain import bridge, missing, stored, wait_stored
from support.clients import Device, mosquitto_pub
from support.processes import LOOPBACK, run, wait_until


def journal(causeway, command, folder, *arguments, check=0):
    return run([causeway, "journal", command, folder, *arguments], check=check)


def reports(causeway, command, folder, check=0):
    text = journal(causeway, command, folder, "--format", "json", check=check).stdout
    return [json.loads(line) for line in text.splitlines()]


def publish(port, count, topic="sales/7", first=0):
    with Device(port) as device:
        handles = [device.client.publish(topic, f"payload-{first + number}", 1) for number in range(count)]
        wait_until(lambda: all(handle.mid in device.acknowledged for handle in handles), "all are acknowledged")


def offline_session(port, client_id="till-1", topic="sales/#"):
    with Device(port, client_id=client_id, clean=False, expiry=3600) as device:
        device.subscribe(topic)


# causeway journal


def test_inspect_says_what_a_running_site_holds_and_who_holds_it_back(causeway, site):
    store = site()
    offline_session(store.port)
    publish(store.port, 50)
    (report,) = reports(causeway, "inspect", store.journal_folder)
    assert report["open"] and report["kind"] == "main" and not report["findings"]
    assert report["entries"]["message"] == 50
    assert report["sessions"] == {"count": 1, "inflight_messages": 0, "queued_bytes": report["sessions"]["queued_bytes"],
                                  "queued_messages": 50}
    assert report["readers"][0]["kind"] == "session" and report["readers"][0]["name"] == "till-1"
    text = journal(causeway, "inspect", store.journal_folder).stdout
    assert "session till-1" in text and "segment" in text
    assert store.get("/readyz")[0] == 200


def test_inspect_and_show_speak_of_outboxes(causeway, site, cloud):
    head_office = cloud(start=False)
    store = site(bridges=[bridge(head_office.port)])
    publish(store.port, 5)
    wait_until(lambda: store.metric("causeway_bridge_queue_messages", bridge="cloud") == 5, "five wait")
    main, outbox = reports(causeway, "inspect", store.journal_folder)
    assert outbox["bridge"] == "cloud" and outbox["outbox"]["waiting"] == 5 and outbox["entries"] == {"message": 5}
    assert [reader["kind"] for reader in main["readers"]] == ["bridge"]
    shown = journal(causeway, "show", store.journal_folder / "outbox" / "cloud", "--format", "json").stdout
    lines = [json.loads(line) for line in shown.splitlines()]
    assert [line["payload"] for line in lines] == [f"payload-{number}" for number in range(5)]


def test_show_prints_the_asked_records_and_topics(causeway, site):
    store = site()
    offline_session(store.port, topic="#")
    publish(store.port, 3, "sales/7")
    publish(store.port, 2, "door/1")
    folder = store.journal_folder
    lines = [json.loads(line) for line in
             journal(causeway, "show", folder, "--topic", "door/+", "--format", "json").stdout.splitlines()]
    assert [(line["topic"], line["payload"]) for line in lines] == [("door/1", "payload-0"), ("door/1", "payload-1")]
    number = lines[0]["sequence"]
    text = journal(causeway, "show", folder, "--from", number, "--to", number).stdout
    assert "door/1" in text and "payload-0" in text and "payload-1" not in text
    assert journal(causeway, "show", folder, "--topic", "a/#/b", check=None).returncode != 0


def test_verify_passes_what_a_kill_left_and_names_damage_by_place(causeway, site):
    store = site()
    offline_session(store.port)
    publish(store.port, 200)
    store.kill()
    folder = store.journal_folder
    assert "as it was written" in journal(causeway, "verify", folder).stdout
    segment = sorted((folder / "journal").glob("*.segment"))[0]
    before = segment.read_bytes()
    place = before.index(b"payload-100")
    segment.write_bytes(before[:place] + b"X" + before[place + 1:])
    names = sorted(os.listdir(folder / "journal"))
    result = journal(causeway, "verify", folder, check=1)
    assert f"{segment.name}:" in result.stdout and "records" in result.stdout
    (report,) = reports(causeway, "verify", folder, check=1)
    damage = next(finding for finding in report["findings"] if finding["kind"] == "damaged_range")
    assert damage["offset"] <= place < damage["end"]
    lost = next(finding for finding in report["findings"] if finding["kind"] == "lost_records")
    assert lost["first"] == lost["last"]
    assert sorted(os.listdir(folder / "journal")) == names, "nothing was set aside"
    segment.write_bytes(before)
    journal(causeway, "verify", folder)


def test_verify_of_what_is_no_journal_fails_with_a_reason(causeway, tmp_path):
    assert "journal" in journal(causeway, "verify", tmp_path, check=1).stderr
    assert "not a folder" in journal(causeway, "verify", tmp_path / "nothing", check=1).stderr


# causeway doctor


def test_doctor_measures_and_ends_with_1_only_if_something_is_wrong(causeway, site, pki, tmp_path):
    store = site(start=False)
    store.write()
    result = run([causeway, "doctor", "-c", store.file, "--format", "json"])
    report = json.loads(result.stdout)
    assert result.returncode == (0 if report["well"] else 1)
    assert [commit["records_per_commit"] for commit in report["commits"]] == [1, 16, 128]
    for commit in report["commits"]:
        assert 0 < commit["median_microseconds"] <= commit["p99_microseconds"] <= commit["max_microseconds"]
    checks = {finding["check"] for finding in report["findings"]}
    assert {"file_system", "free_space", "commit_latency", "file_descriptors", "clock", "ports", "files"} <= checks
    assert not list(tmp_path.rglob("doctor.measurement"))
    # A port that somebody has, and a key that everybody can read.
    store.start()
    key = tmp_path / "open.key"
    shutil.copy(pki.server["keyfile"], key)
    key.chmod(0o644)
    other = site("other", start=False, listeners=[{
        "bind": f"{LOOPBACK}:{store.port}", "allow_anonymous": True,
        "tls": {"certfile": pki.server["certfile"], "keyfile": str(key)},
    }])
    other.write()
    text = run([causeway, "doctor", "-c", other.file], check=1).stdout
    assert f"{LOOPBACK}:{store.port} cannot be bound" in text and "open to everybody" in text and "→" in text


def test_doctor_tells_that_memory_is_no_disk(causeway):
    if not os.path.isdir("/dev/shm"):
        pytest.skip("this machine has no /dev/shm")
    result = run([causeway, "doctor", "/dev/shm"], check=1)
    assert "tmpfs" in result.stdout and "WRONG" in result.stdout


# causeway backup and restore


class Load:
    """A device that publishes at QoS 1 until told to stop, and knows what was acknowledged."""

    def __init__(self, port, topic="sales/7"):
        self.device = Device(port).connect()
        self.topic = topic
        self.handles = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        number = 0
        while not self.stopped.is_set():
            if len(self.handles) - len(self.device.acknowledged) < 50:
                self.handles.append((number, self.device.client.publish(self.topic, f"load-{number}", 1).mid))
                number += 1
            else:
                self.stopped.wait(0.001)

    @property
    def acknowledged(self):
        """Payloads that were acknowledged by now."""
        known = set(self.device.acknowledged)
        return [f"load-{number}" for number, mid in list(self.handles) if mid in known]

    def stop(self):
        self.stopped.set()
        self.thread.join(10)
        self.device.close()


def restart_from(store, backup, causeway, *arguments):
    """Wipes a site and restores it, as on a new box."""
    shutil.rmtree(store.journal_folder)
    return run([causeway, "restore", backup, "-c", store.file, *arguments], check=0)


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it(causeway, site, cloud, tmp_path, name):
    head_office = cloud()
    store = site(bridges=[bridge(head_office.port)])
    offline_session(store.port)
    load = Load(store.port)
    wait_until(lambda: len(load.acknowledged) > 300, "some load")
    before = load.acknowledged
    backup = tmp_path / name
    result = run([causeway, "backup", "-c", store.file, "--to", backup], check=0)
    wait_until(lambda: len(load.acknowledged) > len(before) + 200, "the site went on")
    load.stop()
    store.kill()
    everything = {payload for _, payload in head_office.rows("SELECT seq, payload FROM messages")}
    manifest = result.stdout.split("manifest: ")[1].split()[0]
    restart_from(store, backup, causeway, "--manifest", manifest)
    store.start()
    with Device(store.port, client_id="till-1", clean=False, expiry=3600) as till:
        assert till.session_present
        wait_until(lambda: set(before) <= set(till.payloads), "what was acknowledged before the backup is there")
        got = till.payloads
    assert len(got) == len(set(got)), "nothing comes twice"
    assert got == [f"load-{number}" for number in range(len(got))], "in order, without a hole"
    # The new box goes on; the cloud has each message once.
    publish(store.port, 100, first=1_000_000)
    wait_until(lambda: b"payload-1000099" in texts(head_office), "the cloud has the new box's messages")
    wait_until(lambda: missing(head_office) == 0, "no number is missing")
    rows = texts(head_office)
    assert len(rows) == len(set(rows)), "no message is stored twice"
    assert set(rows) >= {payload.encode() for payload in before}
    assert set(rows) >= {f"payload-{number}".encode() for number in range(1_000_000, 1_000_100)}
    assert everything


def texts(cloud):
    rows = cloud.rows("SELECT payload FROM messages WHERE topic NOT LIKE 'cw/%' AND class != 'gap' ORDER BY epoch, seq")
    return [bytes(payload) if not isinstance(payload, str) else payload.encode() for (payload,) in rows]


def test_a_backlog_goes_up_once_and_the_old_box_is_refused(causeway, site, cloud, tmp_path):
    head_office = cloud(start=False)
    store = site("store-0042", bridges=[bridge(head_office.port)])
    publish(store.port, 200)
    wait_until(lambda: store.metric("causeway_bridge_queue_messages", bridge="cloud") == 200, "a backlog")
    backup = tmp_path / "backup.tar"
    run([causeway, "backup", "-c", store.file, "--to", backup], check=0)
    # The old box delivers half a day more, then a new one takes its place.
    publish(store.port, 50, first=200)
    head_office.start()
    wait_stored(head_office, 250)
    replacement = site("replacement", start=False, site="store-0042", bridges=[bridge(head_office.port)])
    replacement.write()
    run([causeway, "restore", backup, "-c", replacement.file], check=0)
    replacement.start()
    publish(replacement.port, 30, first=1_000)
    wait_until(lambda: len(texts(head_office)) == 280, "the new box's messages are stored")
    # The old box is still there and does not know.
    publish(store.port, 20, first=5_000)
    wait_until(lambda: head_office.rows("SELECT sum(fenced) FROM cursors")[0][0] > 0, "the old box is refused")
    rows = texts(head_office)
    assert len(rows) == len(set(rows)) == 280
    assert not any(row.startswith(b"payload-50") and len(row) > 10 for row in rows)
    assert missing(head_office) == 0


def test_restore_refuses_what_is_not_empty_or_was_changed(causeway, site, tmp_path):
    store = site()
    offline_session(store.port)
    publish(store.port, 100)
    backup = tmp_path / "backup.tar"
    run([causeway, "backup", store.journal_folder, "--to", backup], check=0)
    assert backup.stat().st_mode & 0o777 == 0o600
    target = tmp_path / "restored"
    target.mkdir()
    (target / "precious").write_text("x")
    assert "not empty" in run([causeway, "restore", backup, "--to", target], check=1).stderr
    (target / "precious").unlink()
    content = backup.read_bytes()
    place = content.index(b"payload-50")
    changed = tmp_path / "changed.tar"
    changed.write_bytes(content[:place] + b"X" + content[place + 1:])
    assert "hash" in run([causeway, "restore", changed, "--to", target], check=1).stderr
    short = tmp_path / "short.tar"
    short.write_bytes(content[:len(content) // 2])
    assert "whole" in run([causeway, "restore", short, "--to", target], check=1).stderr
    assert "hash" in run([causeway, "restore", backup, "--to", target, "--manifest", "0" * 64], check=1).stderr
    assert os.listdir(target) == [] and not (tmp_path / "restored.restoring").exists()
    with tarfile.open(backup) as archive:
        assert archive.getnames()[0] == "manifest.json", "other programs read it too"
    run([causeway, "restore", backup, "--to", target], check=0)
    journal(causeway, "verify", target)


def test_a_backup_of_a_stopped_site_is_the_same(causeway, site, tmp_path):
    store = site()
    offline_session(store.port)
    publish(store.port, 20)
    store.stop()
    run([causeway, "backup", "-c", store.file, "--to", tmp_path / "backup"], check=0)
    restart_from(store, tmp_path / "backup", causeway)
    store.start()
    with Device(store.port, client_id="till-1", clean=False, expiry=3600) as till:
        till.wait_for(20)


# encryption at rest


def key_file(path):
    path.write_text(os.urandom(32).hex())
    path.chmod(0o600)
    return str(path)


def canary_hits(folder, *canaries):
    return [
        str(path) for path in folder.rglob("*") if path.is_file()
        for canary in canaries if canary in path.read_bytes()
    ]


def test_nothing_readable_stands_in_an_encrypted_data_folder(causeway, site, cloud, tmp_path):
    head_office = cloud(start=False)
    key = key_file(tmp_path / "journal.key")
    plain = site("plain", bridges=[bridge(head_office.port)])
    sealed = site("sealed", bridges=[bridge(head_office.port)], journal={
        "path": "data", "segment_bytes": "1MiB", "max_bytes": "512MiB", "encryption": {"keyfile": key},
    })
    for node in (plain, sealed):
        offline_session(node.port, client_id="CANARY-client", topic="sales/#")
        with Device(node.port) as device:
            for number in range(50):
                device.publish("sales/CANARY-topic", f"CANARY-payload-{number}", retain=number == 0)
        wait_until(lambda node=node: node.metric("causeway_bridge_queue_messages", bridge="cloud") == 50, "50 wait")
        node.stop()
    assert canary_hits(plain.journal_folder, b"CANARY"), "control: unencrypted, the canaries are found"
    assert canary_hits(sealed.journal_folder, b"CANARY") == []
    journal(causeway, "verify", sealed.journal_folder)
    assert "CANARY-payload-7" in journal(causeway, "show", sealed.journal_folder, "-c", sealed.file).stdout
    assert "encrypted" in journal(causeway, "show", sealed.journal_folder, check=1).stderr
    sealed.start()
    head_office.start()
    with Device(sealed.port, client_id="CANARY-client", clean=False, expiry=3600) as till:
        till.wait_for(50)
    wait_until(lambda: stored(head_office, "sealed") == 50, "the outbox is sent")


def test_without_its_key_a_site_does_not_start_and_changes_nothing(causeway, site, tmp_path):
    key = key_file(tmp_path / "journal.key")
    store = site(journal={"path": "data", "encryption": {"keyfile": key}})
    offline_session(store.port)
    publish(store.port, 10)
    store.stop()

    def state():
        return {str(path): path.read_bytes() for path in store.journal_folder.rglob("*") if path.is_file()}

    before = state()
    for encryption in (None, {"keyfile": key_file(tmp_path / "other.key")}):
        store.configuration["journal"] = {"path": "data", **({"encryption": encryption} if encryption else {})}
        store.start(ready=False)
        wait_until(lambda: not store.is_running, "the site ends")
        assert "key" in store.log and "Nothing was changed" in store.log
        assert state() == before
    store.configuration["journal"] = {"path": "data", "encryption": {"keyfile": key}}
    store.start()
    with Device(store.port, client_id="till-1", clean=False, expiry=3600) as till:
        till.wait_for(10)


def test_keys_are_rotated_under_load_and_nothing_is_lost(causeway, site, tmp_path):
    keys = [key_file(tmp_path / f"{number}.key") for number in range(6)]

    def encryption(number):
        return {"keyfile": keys[number], "retired_keyfiles": keys[:number]}

    store = site(journal={"path": "data", "segment_bytes": "1MiB", "encryption": encryption(0)})
    offline_session(store.port)
    load = Load(store.port)
    for number in range(1, len(keys)):
        count = len(load.acknowledged)
        wait_until(lambda count=count: len(load.acknowledged) > count + 100, "some load")
        store.configuration["journal"]["encryption"] = encryption(number)
        store.write()
        store.process.signal(1)
        wait_until(lambda number=number: store.log.count("journal key") >= number, f"key {number} is in use")
    # Without the key that is in use among them, new keys are refused.
    store.configuration["journal"]["encryption"] = {"keyfile": key_file(tmp_path / "alone.key")}
    store.write()
    store.process.signal(1)
    wait_until(lambda: "keep it in retired_keyfiles" in store.log, "the refusal is logged")
    load.stop()
    store.kill()
    acknowledged = load.acknowledged
    store.configuration["journal"]["encryption"] = encryption(len(keys) - 1)
    store.start()
    with Device(store.port, client_id="till-1", clean=False, expiry=3600) as till:
        wait_until(lambda: set(acknowledged) <= set(till.payloads), "everything acknowledged is there")
        assert len(till.payloads) == len(set(till.payloads))


def test_an_encrypted_site_is_backed_up_and_restored(causeway, site, tmp_path):
    key = key_file(tmp_path / "journal.key")
    store = site(journal={"path": "data", "encryption": {"keyfile": key}})
    offline_session(store.port)
    publish(store.port, 100)
    backup = tmp_path / "backup.tar"
    run([causeway, "backup", "-c", store.file, "--to", backup], check=0)
    assert b"payload-50" not in backup.read_bytes()
    store.stop()
    restart_from(store, backup, causeway)
    store.start()
    with Device(store.port, client_id="till-1", clean=False, expiry=3600) as till:
        till.wait_for(100)


@pytest.mark.parametrize("encryption, problem", [
    ({"keyfile": "a.key", "key_env": "KEY"}, "contradicts 'keyfile'"),
    ({}, "is missing"),
    ({"keyfiel": "a.key"}, "keyfile"),
    ({"keyfile": "open.key"}, "open to everybody"),
    ({"keyfile": "gone.key"}, "no such file"),
])
def test_check_names_what_is_wrong_with_an_encryption(causeway, site, encryption, problem):
    store = site(start=False, journal={"path": "data", "encryption": encryption})
    key_file(store.folder / "a.key")
    key_file(store.folder / "open.key")
    (store.folder / "open.key").chmod(0o644)
    store.write()
    assert problem in run([causeway, "check", "-c", store.file], check=1).stdout
