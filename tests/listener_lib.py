"""What the tests of real listeners share: a real system user with mail in the spool, and a session over TCP.

The user is made with useradd(8) and removed at the end, also after a failure.
"""
import atexit
import contextlib
import imaplib
import mailbox
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from auth_lib import FAST, IMAPD, PLAIN, crypt, skip, status_of

SRCDIR = os.environ.get("SRCDIR", os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASSWORD = "firetruck"


def need_root():
    if os.geteuid() != 0:
        skip("needs root: a listener, a system user")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))        # so that what was made is removed


def need(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        skip(f"{program} is not installed")
    return path


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


MESSAGE = "From sender@example.org Thu Jan  1 00:00:0%d 2026\nFrom: sender@example.org\nSubject: number %d\n\nText %d\n\n"


class RealUser:
    """A system user with five messages in /var/mail."""

    def __init__(self):
        self.name = f"imapt{os.getpid()}"
        self.home = tempfile.mkdtemp(prefix="imapd-user.", dir="/tmp")
        os.rmdir(self.home)
        self.inbox = "/var/mail/" + self.name
        subprocess.run(["useradd", "-m", "-d", self.home, "-s", "/bin/sh", "-p", crypt(PASSWORD, FAST), self.name], check=True,
                       stderr=subprocess.DEVNULL)
        atexit.register(self.remove)
        with open(self.inbox, "w") as f:
            for n in range(1, 6):
                f.write(MESSAGE % (n, n, n))
        shutil.chown(self.inbox, self.name, "mail")
        os.chmod(self.inbox, 0o660)

    def remove(self):
        # By force: after a failure a session may still be there, and userdel refuses while one is.
        subprocess.run(["userdel", "-f", self.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)
        for path in (self.inbox, self.inbox + ".lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def subjects(self):
        box = mailbox.mbox(self.inbox, create=False)
        return [m["Subject"] for m in box if "INTERNAL DATA" not in str(m["Subject"])]


@contextlib.contextmanager
def listener(command, port, out="listener.log"):
    """Runs a listener that stays in the foreground until the end of the block, waits until it listens."""
    with open(out, "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(100):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 2).close()
                break
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processes_of(user, program):
    """Names and owners of all running processes of the program below test, by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, KeyError):
            if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(program):
                found[int(pid)] = status_of(pid)["Uid"].split()[0]
    return found


def session(port, user, program=None):
    """A whole session with imaplib: login, read, mark, remove, append; verified in the mbox file."""
    uid = str(os.stat(user.inbox).st_uid)
    program = program or IMAPD
    wrong = imaplib.IMAP4("127.0.0.1", port, timeout=30)
    try:
        wrong.login(user.name, "not the password")
        raise AssertionError("a wrong password was accepted")
    except imaplib.IMAP4.error as e:
        assert "LOGIN" in str(e).upper() or e, e
    wrong.shutdown()
    c = imaplib.IMAP4("127.0.0.1", port, timeout=30)
    assert c.login(user.name, PASSWORD)[0] == "OK"
    assert c.select("INBOX") == ("OK", [b"5"])
    mine = [p for p, owner in processes_of(user, program).items() if owner == uid]
    assert len(mine) >= 1, "no process of the user"
    deadline = time.monotonic() + 5                  # of the first connection nothing may be left either
    while any(owner != uid for owner in processes_of(user, program).values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(owner == uid for owner in processes_of(user, program).values()), processes_of(user, program)
    assert c.search(None, "SUBJECT", "number")[1][0].split() == [b"1", b"2", b"3", b"4", b"5"]
    assert b"Text 3" in c.fetch("3", "(BODY[TEXT])")[1][0][1]
    assert c.store("2", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert c.expunge() == ("OK", [b"2"])
    assert c.append("INBOX", "(\\Seen)", None, b"Subject: number 6\r\n\r\nText 6\r\n")[0] == "OK"
    assert c.create("stuff")[0] == "OK"
    assert c.logout()[0] == "BYE"
    assert user.subjects() == ["number 1", "number 3", "number 4", "number 5", "number 6"], user.subjects()
    assert os.stat(os.path.join(user.home, "stuff")).st_uid == int(uid)
    assert not os.path.exists(user.inbox + ".lock"), "a lock is left"
    deadline = time.monotonic() + 5
    while processes_of(user, program) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(user, program), "processes are left"
