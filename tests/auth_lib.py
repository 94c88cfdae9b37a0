"""What the tests of login share: users, a log, and connections to imapd as inetd makes them.

The users live in private copies of /etc/passwd, /etc/shadow and /etc/group, mounted over the real ones in a mount namespace of
the test, together with a /dev/log that the test reads. Nothing of it is left behind, even when the test is killed.
"""
import ctypes
import fcntl
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

IMAPD = os.environ.get("IMAPD", "")
PLAIN = os.environ.get("IMAPD_PLAIN", IMAPD)
PASSWORD = "firetruck"
HASHES = {"yescrypt": "$y$j75$3cG1b5jC3bQhJcGkOZ6dv/", "sha512crypt": "$6$rounds=2000$qwertyui$",
          "bcrypt": "$2b$04$abcdefghijklmnopqrstuu"}
FAST = "$6$rounds=1000$qwertyui$"


def skip(why):
    print(why)
    sys.exit(77)


def crypt(password, setting):
    lib = ctypes.CDLL("libcrypt.so.1")
    lib.crypt.restype = ctypes.c_char_p
    return lib.crypt(password.encode(), setting.encode()).decode()


def own_namespace():
    """Runs this program again in a mount namespace of its own."""
    if os.geteuid() != 0:
        skip("needs root: logins change the user")
    if os.environ.get("IMAPD_TEST_NAMESPACE") == "yes":
        return
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        skip("unshare -m is not permitted here")
    os.environ["IMAPD_TEST_NAMESPACE"] = "yes"
    os.execvp("unshare", ["unshare", "-m", sys.executable] + sys.argv)


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


class Place:
    """A temporary directory with users, mail, a configuration and a log."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="imapd-auth.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        for name in ("home", "spool", "etc"):
            os.mkdir(os.path.join(self.dir, name))
        self.spool = os.path.join(self.dir, "spool")
        shutil.chown(self.spool, "root", "mail")
        os.chmod(self.spool, 0o2775)
        self.errors = os.path.join(self.dir, "stderr")
        self.settings = {"inbox": self.spool + "/%u", "login-delay": "0", "greeter-root": self.dir + "/empty",
                         "tls-linger": "0", "state-file": "", "login-octets": "1G"}
        self.made_log = None
        self.mount_users()
        self.mount_log()

    def mount_users(self):
        for name in ("passwd", "shadow", "group"):
            copy = os.path.join(self.dir, "etc", name)
            shutil.copy2("/etc/" + name, copy)
            subprocess.run(["mount", "--bind", copy, "/etc/" + name], check=True)

    def mount_log(self):
        path = os.path.join(self.dir, "log")
        self.log_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log_socket.bind(path)
        os.chmod(path, 0o666)
        target = os.path.realpath("/dev/log")
        if not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
            self.made_log = target
        subprocess.run(["mount", "--bind", path, target], check=True)
        self.log_target = target
        self.logged = queue.Queue()                  # a log that nobody reads stops those who write to it
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self):
        while True:
            self.logged.put(self.log_socket.recv(4096).decode("latin-1"))

    def close(self):
        subprocess.run(["umount", self.log_target])
        if self.made_log:
            os.unlink(self.made_log)
        for name in ("passwd", "shadow", "group"):
            subprocess.run(["umount", "/etc/" + name])
        shutil.rmtree(self.dir, ignore_errors=True)

    def add_user(self, name, uid, hash=None, shell="/bin/sh", shadow=None, gid=None):
        """A system user with a home and an empty INBOX. shadow: the fields after the hash."""
        home = os.path.join(self.dir, "home", name)
        os.mkdir(home, 0o700)
        gid = uid if gid is None else gid
        os.chown(home, uid, gid)
        if hash is None:
            hash = crypt(PASSWORD, FAST)
        with open("/etc/passwd", "a") as f:
            f.write(f"{name}:x:{uid}:{gid}::{home}:{shell}\n")
        with open("/etc/group", "a") as f:
            f.write(f"{name}:x:{gid}:\n")
        with open("/etc/shadow", "a") as f:
            f.write(f"{name}:{hash}:{shadow or '19000:0:99999:7:::'}\n")
        inbox = os.path.join(self.spool, name)
        open(inbox, "w").close()
        shutil.chown(inbox, uid, "mail")
        os.chmod(inbox, 0o660)
        return home

    def config(self, **changes):
        path = os.path.join(self.dir, "imapd.conf")
        settings = dict(self.settings)
        settings.update({k.replace("_", "-"): v for k, v in changes.items()})
        with open(path, "w") as f:
            for k, v in settings.items():
                if v is not None:
                    f.write(f"{k} = {v}\n")
        return path

    def log(self, wait=1.0, until=None):
        """The lines logged since the last call; waits for one that contains `until`."""
        lines, end = [], time.monotonic() + wait
        while True:
            left = end - time.monotonic() if until and not any(until in x for x in lines) else 0
            try:
                lines.append(self.logged.get(left > 0, max(left, 0)))
            except queue.Empty:
                return lines

    def connect(self, network=True, imapd=None, config=None, user=None, source="127.0.0.1", target="127.0.0.1"):
        return Client(self, network, imapd or IMAPD, config or self.config(), user, source, target)

    def reports(self):
        """What sanitizers had to say."""
        if not os.path.exists(self.errors):
            return ""
        with open(self.errors, errors="replace") as f:
            return f.read()


def own_network(*addresses):
    """A network namespace for the rest of the test in which this host has the addresses. False if that is not permitted."""
    if ctypes.CDLL(None).unshare(0x40000000) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
        for n, address in enumerate(addresses):
            fcntl.ioctl(s, 0x8916, struct.pack("16sHH4s8x", b"lo:%d" % n, socket.AF_INET, 0, socket.inet_aton(address)))
    return True


class Client:
    """A connection to an imapd of its own, on a loopback TCP socket or a socket pair."""

    def __init__(self, place, network, imapd, config, user, source, target):
        if network:
            listener = socket.create_server((target, 0))
            self.socket = socket.create_connection(listener.getsockname(), source_address=(source, 0))
            other, _ = listener.accept()
            listener.close()
        else:
            self.socket, other = socket.socketpair()
        command = [imapd, "--config", config]
        if user is not None:
            command = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--"] + command
        with open(place.errors, "a") as errors:
            self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=errors)
        other.close()
        self.socket.settimeout(30)
        self.file = self.socket.makefile("rb")
        self.tags = 0

    def line(self):
        """A line without its end; "" when the connection is over."""
        try:
            return self.file.readline().decode("latin-1").rstrip("\r\n")
        except ConnectionError:
            return ""

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def command(self, text):
        """Sends a command; the untagged lines and the tagged one, as one list. Ends early when the connection does."""
        self.tags += 1
        tag = f"t{self.tags}"
        try:
            self.send(f"{tag} {text}\r\n")
        except OSError:
            return [""]
        lines = []
        while True:
            line = self.line()
            lines.append(line)
            if line == "" or line.startswith(tag + " "):
                return lines

    def login(self, user, password=PASSWORD):
        """OK, NO, BAD, or "" when the connection ended."""
        last = self.command(f"LOGIN {user} {password}")[-1].split(" ")
        return last[1] if len(last) > 1 else ""

    def children(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return [int(x) for x in f.read().split()]

    def wait(self, seconds=20):
        return self.process.wait(seconds)

    def close(self):
        self.file.close()
        self.socket.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise Failure("imapd did not end after its connection did")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def status_of(pid):
    """/proc/PID/status as a dictionary of strings."""
    with open(f"/proc/{pid}/status") as f:
        return {k: v.strip() for k, v in (line.split(":", 1) for line in f)}


def found_in_memory(pid, patterns, writable=False):
    """The names of the patterns (name: octets) that are in the memory of the process; writable: in what it can write, and is no file's."""
    found = set()
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if m is None or "[v" in line or (writable and (line.split()[1][1] != "w" or line.split()[4] != "0")):
                continue
            try:
                memory.seek(int(m.group(1), 16))
                octets = memory.read(int(m.group(2), 16) - int(m.group(1), 16))
            except OSError:
                continue
            found |= {name for name, pattern in patterns.items() if pattern in octets}
    return found


def private_kib(pid):
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total


def run_all(functions, *arguments):
    """Runs the functions, each one line of output; exits with the result."""
    failed = 0
    for f in functions:
        try:
            f(*arguments)
            print("ok  ", f.__doc__ or f.__name__)
        except Failure as e:
            failed += 1
            print("FAIL", f.__doc__ or f.__name__, "--", e)
        except Exception:
            failed += 1
            print("FAIL", f.__doc__ or f.__name__, "--", traceback.format_exc())
        sys.stdout.flush()
    return failed
