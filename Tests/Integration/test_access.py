"""Who may enter and do what, from outside: password files, ACL files, roles, dynamic security and `causeway user`."""

import os
import signal
import stat

import pytest
from support.clients import mosquitto_pub
from support.nodes import LOOPBACK
from support.processes import free_port, run, wait_until

PASSWORD = "correct horse battery"


def listener(port):
    return [{"bind": f"{LOOPBACK}:{port}", "allow_anonymous": False}]


def publish(port, topic, user, password=PASSWORD):
    """0 only if the message was taken; mosquitto_pub itself ends with 0 where the publish was refused."""
    done = mosquitto_pub(port, topic, "x", "-V", "5", "-q", "1", "-u", user, "-P", password, check=None)
    return done.returncode or int("failed" in done.stdout + done.stderr)


def passwords(folder, *users):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passwords"
    for index, user in enumerate(users):
        run(["mosquitto_passwd", *(["-c"] if index == 0 else []), "-b", str(path), user, PASSWORD], check=0)
    path.chmod(0o600)
    return path


def made(site, tmp_path, name="guarded", **configuration):
    port = free_port()
    node = site(name, start=False, listeners=listener(port), **configuration)
    node.port = port
    return node


def test_a_password_file_of_mosquitto_and_an_acl_file(site, tmp_path):
    path = passwords(tmp_path / "files", "nurse", "till")
    acl = tmp_path / "files" / "acl"
    acl.touch(0o600)
    acl.write_text("user nurse\ntopic write ward/#\ntopic deny ward/locked\npattern write own/%u/#\n")
    node = made(site, tmp_path, users={"password_file": str(path)}, access={"acl_file": str(acl)}).start()
    assert publish(node.port, "ward/1", "nurse") == 0
    assert publish(node.port, "ward/locked", "nurse") != 0
    assert publish(node.port, "own/till/1", "till") == 0
    assert publish(node.port, "own/nurse/1", "till") != 0
    assert publish(node.port, "ward/1", "nurse", "wrong password") != 0
    assert publish(node.port, "ward/1", "nobody") != 0


def test_roles_with_captures_deny_by_default(site, tmp_path):
    path = passwords(tmp_path / "files", "nurse-icu", "visitor")
    access = {
        "roles": [{"name": "nurse", "allow": {"publish": ["ward/{unit}/#"]}}],
        "users": [{"name": "nurse-{unit}", "roles": ["nurse"]}],
    }
    node = made(site, tmp_path, users={"password_file": str(path)}, access=access).start()
    assert publish(node.port, "ward/icu/1", "nurse-icu") == 0
    assert publish(node.port, "ward/er/1", "nurse-icu") != 0
    assert publish(node.port, "ward/icu/1", "visitor") != 0


def test_mosquitto_ctrl_administers_a_running_site_and_a_restart_keeps_it(site, tmp_path):
    (tmp_path / "files").mkdir()
    state = tmp_path / "files" / "dynamic-security.json"
    run(["mosquitto_ctrl", "dynsec", "init", str(state), "admin", PASSWORD], check=0)
    node = made(site, tmp_path, access={"dynamic_security": str(state)}).start()

    def control(*arguments):
        command = ["mosquitto_ctrl", "-h", LOOPBACK, "-p", str(node.port), "-u", "admin", "-P", PASSWORD, "dynsec"]
        done = run([*command, *arguments], check=0)
        assert "failed" not in done.stdout + done.stderr, (arguments, done)
        return done.stdout

    control("createRole", "nurse")
    control("addRoleACL", "nurse", "publishClientSend", "ward/#", "allow", "5")
    control("createClient", "anna", "-p", PASSWORD)
    assert publish(node.port, "ward/1", "anna") != 0
    control("addClientRole", "anna", "nurse", "1")
    assert publish(node.port, "ward/1", "anna") == 0
    control("disableClient", "anna")
    assert publish(node.port, "ward/1", "anna") != 0
    control("enableClient", "anna")
    assert "anna" in control("listClients")
    assert stat.S_IMODE(os.stat(state).st_mode) == 0o600
    node.stop()
    node.start()
    assert publish(node.port, "ward/1", "anna") == 0


def test_a_user_that_is_taken_from_the_file_is_out_after_sighup(site, tmp_path):
    path = passwords(tmp_path / "files", "nurse", "till")
    node = made(site, tmp_path, users={"password_file": str(path)}).start()
    assert publish(node.port, "a", "till") == 0
    run(["mosquitto_passwd", "-D", str(path), "till"], check=0)
    path.chmod(0o600)
    node.process.signal(signal.SIGHUP)
    wait_until(lambda: publish(node.port, "a", "till") != 0, "the user to be gone")
    assert publish(node.port, "a", "nurse") == 0


@pytest.mark.parametrize("text", ["", "nurse\n", "nurse:$7$0$AAAA$AAAA\n", "nurse:plain\n"])
def test_a_password_file_that_is_wrong_is_refused_with_its_line(causeway, tmp_path, text):
    path = tmp_path / "passwords"
    path.write_text(text)
    done = run([str(causeway), "user", "check", str(path)])
    if text:
        assert done.returncode == 1
        assert f"{path}:1:" in done.stderr


def test_causeway_user_edits_what_mosquitto_reads_and_keeps_the_rest(causeway, tmp_path):
    path = tmp_path / "passwords"

    def user(command, *arguments, status=0):
        done = run([str(causeway), "user", command, str(path), *arguments])
        assert done.returncode == status, done
        return done.stdout

    user("add", "nurse", "-b", PASSWORD)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    user("add", "nurse", "-b", PASSWORD, status=1)
    user("add", "short", "-b", "short", status=1)
    user("add", "short", "-b", "short", "--force")
    user("add", "till", "-b", PASSWORD, "--kind", "sha512-pbkdf2")
    path.write_text("# the night shift\n" + path.read_text())
    assert user("list").splitlines() == ["nurse\tscrypt", "short\tscrypt", "till\tsha512-pbkdf2"]
    user("check", "till", "-b", PASSWORD)
    user("check", "till", "-b", "wrong", status=1)
    assert "stored as scrypt" in user("check", "till", "-b", PASSWORD, "--upgrade")
    user("passwd", "short", "-b", PASSWORD, "--kind", "scram-sha-256")
    user("delete", "nurse")
    user("delete", "nurse", status=1)
    assert user("list").splitlines() == ["short\tscram-sha-256", "till\tscrypt"]
    assert path.read_text().startswith("# the night shift\n")
