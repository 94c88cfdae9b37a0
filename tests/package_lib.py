"""The Debian package in a clean root: what package.test does inside of its own mount, process and network namespaces.

Everything here runs as root of those namespaces; commands run in the root by chroot(1).
"""
import contextlib
import fcntl
import hashlib
import imaplib
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from auth_lib import FAST, crypt

USER, PASSWORD = "pat", "three words here"
MAIL = "".join("From sender@example.org Thu Jan  1 00:00:0%d 2026\nFrom: sender@example.org\nSubject: number %d\n\nText %d\n\n" % (n, n, n)
               for n in range(1, 4))
# What other packages and the tools that make users leave, and what is not a file of the system.
NOT_COMPARED = re.compile(r"/(proc|sys|dev|tmp|home)(/|$)|/var/(log|cache|mail)/|/var/lib/(dpkg|apt|systemd|ucf)(/|$)|/etc/.*-$"
                          r"|/run/(lock|xinetd\.pid|inetd\.pid|adduser|dbus)|/etc/ld\.so\.cache$|/etc/machine-id$|/var/spool/mail/|/etc/\.pwd\.lock$")


class Root:
    def __init__(self, path):
        self.path = path

    def __truediv__(self, name):
        return self.path + "/" + name.lstrip("/")

    def run(self, *command, stdin="", check=True):
        """The output of a command in the root."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        environment |= {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        out = subprocess.run(["chroot", self.path, *command], input=stdin, capture_output=True, text=True, env=environment)
        if check and out.returncode != 0:
            sys.exit(f"{' '.join(command)}: status {out.returncode}\n{out.stdout[-3000:]}\n{out.stderr[-3000:]}")
        return out.stdout + out.stderr

    def apt(self, *words):
        return self.run("apt-get", "-q", "-y", "-o", "Acquire::Languages=none", *words)

    def snapshot(self):
        """Path: type, mode, owner and content of everything that could be left over."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            inside = folder[len(self.path):]
            for name in folders + files:
                path = inside + "/" + name
                if NOT_COMPARED.search(path):
                    if name in folders:
                        folders.remove(name)
                    continue
                st = os.lstat(self / path)
                what = (stat.filemode(st.st_mode), st.st_uid, st.st_gid)
                if stat.S_ISREG(st.st_mode) and path.startswith("/etc/"):
                    with open(self / path, "rb") as f:
                        what += (hashlib.sha256(f.read()).hexdigest(),)
                found[path] = what
        return found

    def id_of(self, user):
        with open(self / "/etc/passwd") as f:
            return next((int(line.split(":")[2]) for line in f if line.startswith(user + ":")), None)


def compare(before, after, what):
    wrong = [f"{p}: left" for p in after if p not in before]
    wrong += [f"{p}: gone" for p in before if p not in after]
    wrong += [f"{p}: was {before[p]}, is {after[p]}" for p in before if p in after and before[p] != after[p]]
    assert not wrong, f"{what}:\n" + "\n".join(sorted(wrong)[:40])


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))           # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


def listening():
    """Ports of TCP on which something listens in this network namespace."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open("/proc/self/net/" + table) as f:
            found |= {int(x[1].rsplit(":", 1)[1], 16) for x in map(str.split, f.readlines()[1:]) if x[3] == "0A"}
    return found


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def owners(root):
    """Owners of the running processes of the installed program (the process namespace holds no others)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe").startswith(root / "/usr/sbin/imapd"):
                found.append(os.stat(f"/proc/{pid}").st_uid)
    return found


def read_mail(root, kept):
    """A wrong password, then a session of the user: the processes are who they should be, the mail is there."""
    c = imaplib.IMAP4("127.0.0.1", 143, timeout=30)
    assert root.id_of("imapd") in owners(root), (root.id_of("imapd"), owners(root))
    try:
        c.login(USER, "not the password")
        raise AssertionError("a wrong password was accepted")
    except imaplib.IMAP4.error:
        pass
    assert c.login(USER, PASSWORD)[0] == "OK"
    count = c.select("INBOX")
    assert count == ("OK", [b"3"]), count
    assert set(owners(root)) <= {root.id_of(USER), root.id_of("imapd")}, owners(root)
    assert c.fetch("2", "(BODY[TEXT])")[1][0][1] == b"Text 2\r\n", c.fetch("2", "(BODY[TEXT])")
    for answer in (c.create(kept), c.copy("1", kept)):
        assert answer[0] == "OK", answer
    assert c.logout()[0] == "BYE"


def commands(text):
    """What README.Debian or doc/install.md says to do: {listener: command}, of its first list of such commands."""
    found = {}
    for name, command in re.findall(r"^\W*(systemd|xinetd|inetd)\W*:\s*\n+(?:```\w*\n)? *([^\n]+)$", text, re.M):
        found.setdefault(name, command.strip("` "))
    return found


def make_user(root):
    root.run("useradd", "-m", "-s", "/bin/sh", "-p", crypt(PASSWORD, FAST), USER)
    uid = root.id_of(USER)
    gid = os.stat(root / "/var/mail").st_gid
    with open(root / f"/var/mail/{USER}", "w") as f:
        f.write(MAIL)
    os.chown(root / f"/var/mail/{USER}", uid, gid)
    os.chmod(root / f"/var/mail/{USER}", 0o660)


def mail_is_there(root, kept):
    with open(root / f"/var/mail/{USER}") as f:
        text = f.read()
    assert [x for x in re.findall(r"^Subject: (.*)$", text, re.M) if x.startswith("number")] == ["number 1", "number 2", "number 3"], text
    assert os.stat(root / f"/var/mail/{USER}").st_uid == root.id_of(USER)
    assert "Text 1" in open(root / f"/home/{USER}/{kept}").read()
    assert os.path.isdir(root / f"/home/{USER}/.imapd")


def is_program(root, path):
    """The server, and the scripts among the examples."""
    if path == "/usr/sbin/imapd":
        return True
    with open(root / path, "rb") as f:
        return "/examples/" in path and f.read(2) == b"#!"


def right_files(root):
    """Everything of the package is root's, and nobody else can write it; what must be there is."""
    listed = [x for x in root.run("dpkg", "-L", "mbox-imapd").splitlines() if x != "/."]
    for path in listed:
        st = os.lstat(root / path)
        assert (st.st_uid, st.st_gid) == (0, 0) or path.startswith("/var"), path
        assert stat.S_ISLNK(st.st_mode) or st.st_mode & 0o7022 == 0, (path, oct(st.st_mode))
        if stat.S_ISREG(st.st_mode):
            assert stat.S_IMODE(st.st_mode) == (0o755 if is_program(root, path) else 0o644), (path, oct(st.st_mode))
    for name in ("/usr/sbin/imapd", "/etc/imapd/imapd.conf", "/etc/xinetd.d/imap", "/etc/xinetd.d/imaps", "/etc/pam.d/imapd",
                 "/etc/apparmor.d/usr.sbin.imapd", "systemd/system/imapd.socket", "systemd/system/imaps@.service", "imapd-tls.so",
                 "imapd-gssapi.so", "imapd-oauth.so", "man8/imapd.8.gz", "man5/imapd.conf.5.gz", "README.Debian", "doc/mbox-imapd/copyright"):
        # dpkg is told by minimal images to leave documentation out, but not by this one.
        assert any(p.endswith(name) or p.endswith(name + ".gz") for p in listed), f"{name} is not in the package"
    kept = root.run("dpkg-query", "-W", "-f", "${Conffiles}", "mbox-imapd").split()[::2]
    assert sorted(kept) == sorted(p for p in listed if p.startswith("/etc/") and os.path.isfile(root / p)), kept
    entry = root.run("getent", "passwd", "imapd").strip().split(":")
    assert 0 < int(entry[2]) < 1000 and int(entry[3]) > 0 and entry[5:] == ["/nonexistent", "/usr/sbin/nologin"], entry
    assert root.run("imapd", "--version").startswith("imapd ")


def on_standard_input(root):
    out = root.run("su", USER, "-c", "/usr/sbin/imapd", stdin="a select inbox\r\nb fetch 3 body[text]\r\nc logout\r\n")
    assert out.startswith("* PREAUTH ") and "* 3 EXISTS" in out and "Text 3" in out and "c OK" in out, out


def serve(root, service, listener, command):
    """In a network namespace of its own: nothing listens, the command, mail is read, removed and nothing listens again; purged."""
    loopback_up()
    # As on a host with an init system: without one maintainer scripts do not reload services unless a policy says so.
    with open(root / "/usr/sbin/policy-rc.d", "w") as f:
        f.write("#!/bin/sh\nexit 0\n")
    os.chmod(root / "/usr/sbin/policy-rc.d", 0o755)
    root.run("service", service, "start")
    time.sleep(0.5)
    assert listening() & {143, 993} == set(), f"{listener}: ports {listening()} before it was told to listen"
    print(f"{listener}: {command}")
    root.run("sh", "-c", command)
    wait_for(lambda: 143 in listening(), f"{listener}: nothing listens after: {command}")
    assert 993 not in listening(), "port 993, too"
    read_mail(root, listener)
    waiting = imaplib.IMAP4("127.0.0.1", 143, timeout=30)
    root.apt("remove", "mbox-imapd")
    wait_for(lambda: not owners(root), f"processes are left after removal: {owners(root)}")
    wait_for(lambda: 143 not in listening(), f"{listener} still listens after removal")
    waiting.sock.close()
    assert not os.path.exists(root / "/usr/sbin/imapd") and os.path.exists(root / "/etc/imapd/imapd.conf")
    mail_is_there(root, listener)
    root.apt("purge", "mbox-imapd")
    root.run("service", service, "stop", check=False)
    os.unlink(root / "/usr/sbin/policy-rc.d")
