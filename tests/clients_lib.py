"""What the tests of real clients share (client_*.test): imapd behind a real xinetd with a real system user, and between client
and xinetd a listener that passes everything on and keeps it, so that a test can tell which extensions its client used.

A test says in NEEDS what its client must have used by the time the server offers all of it. Until REQUIRED is true, what the
server does not offer is only told; what it offers and the client is known to use must be used already.
"""
import contextlib
import mailbox
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from listener_lib import *

REQUIRED = False

XINETD = """defaults
{{
}}
service imap
{{
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    server = {imapd}
    server_args = --config {config}
    type = UNLISTED
    port = {port}
    bind = 127.0.0.1
    instances = 50
    per_source = 50
    cps = 1000 1
    log_type = FILE /dev/null
}}
"""

# Extension, pattern of a command (upper case, without its tag). Used: such a command was answered with OK.
COMMANDS = [
    ("ACL", r"(SETACL|GETACL|DELETEACL|LISTRIGHTS|MYRIGHTS) "), ("APPENDLIMIT", r"STATUS .*APPENDLIMIT"),
    ("BINARY", r"(UID )?FETCH .*BINARY(\.PEEK|\.SIZE)?\["), ("CATENATE", r"APPEND .*CATENATE \("),
    ("COMPRESS=DEFLATE", r"COMPRESS DEFLATE"), ("CONDSTORE", r"ENABLE .*CONDSTORE|(SELECT|EXAMINE) .*\(CONDSTORE|.*(CHANGEDSINCE|UNCHANGEDSINCE) \d|"
     r"(UID )?FETCH .*MODSEQ|STATUS .*HIGHESTMODSEQ"),
    ("CREATE-SPECIAL-USE", r"CREATE .*\(USE"), ("ENABLE", r"ENABLE "), ("ESEARCH", r"(UID )?SEARCH RETURN"),
    ("ESORT", r"(UID )?SORT RETURN"), ("ID", r"ID [(N]"), ("IDLE", r"IDLE"), ("IMAP4rev2", r"ENABLE .*IMAP4REV2"),
    ("LIST-EXTENDED", r"LIST (\(|.* RETURN \()"), ("LIST-STATUS", r"LIST .*RETURN \(.*STATUS \("), ("METADATA", r"(GET|SET)METADATA "),
    ("MOVE", r"(UID )?MOVE "), ("NAMESPACE", r"NAMESPACE"), ("NOTIFY", r"NOTIFY "), ("OBJECTID", r".*(EMAILID|THREADID|MAILBOXID)"),
    ("PREVIEW", r"(UID )?FETCH .*PREVIEW"), ("QRESYNC", r"ENABLE .*QRESYNC|(SELECT|EXAMINE) .*\(QRESYNC"),
    ("QUOTA", r"(GETQUOTA|GETQUOTAROOT|SETQUOTA) "), ("SEARCHRES", r"(UID )?SEARCH RETURN \(.*SAVE"), ("SORT", r"(UID )?SORT "),
    ("SORT=DISPLAY", r"(UID )?SORT .*DISPLAY(FROM|TO)"), ("SPECIAL-USE", r"LIST .*SPECIAL-USE"), ("STATUS=SIZE", r".*STATUS .*SIZE"),
    ("THREAD=ORDEREDSUBJECT", r"(UID )?THREAD ORDEREDSUBJECT"), ("THREAD=REFERENCES", r"(UID )?THREAD REFERENCES"),
    ("THREAD=REFS", r"(UID )?THREAD REFS"), ("UIDPLUS", r"UID EXPUNGE"), ("UNSELECT", r"UNSELECT"), ("UTF8=ACCEPT", r"ENABLE .*UTF8=ACCEPT"),
    ("WITHIN", r"(UID )?SEARCH .*(OLDER|YOUNGER) \d"), ("SASL-IR", r"AUTHENTICATE \S+ \S"), ("UNAUTHENTICATE", r"UNAUTHENTICATE"),
]
# Extension, pattern of something that only the server says.
ANSWERS = [("UIDPLUS", r"\[(APPENDUID|COPYUID) "), ("QRESYNC", r"\* VANISHED "), ("SPECIAL-USE", r"\* LIST \([^)]*\\(SENT|DRAFTS|TRASH|JUNK|ARCHIVE)")]


class Half:
    """What one side said, as lines; after COMPRESS inflated."""

    def __init__(self):
        self.inflate, self.rest, self.literal = None, b"", 0

    def lines(self, data):
        """Complete lines in what arrived; the octets of literals are parts of the line they stand in."""
        if self.inflate:
            data = self.inflate.decompress(data)
        self.rest += data
        at = start = 0
        while (end := self.rest.find(b"\r\n", at)) >= 0:
            m = re.search(rb"\{(\d+)\+?\}$", self.rest[start:end])
            if m and len(self.rest) < end + 2 + int(m.group(1)):
                break
            if m:
                at = end + 2 + int(m.group(1))
                continue
            yield self.rest[start:end].decode("latin-1")
            at = start = end + 2
        self.rest = self.rest[start:]


class Wire:
    """A listener on a port of its own in front of the server's; keeps the commands, their outcomes and the untagged lines."""

    def __init__(self, server_port):
        self.server_port, self.lock = server_port, threading.Lock()
        self.commands, self.answers, self.said = [], [], []      # (command, OK NO BAD or None); lines; all, for a failure's report
        self.bytes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server_port)) as server, client:
            halves, waiting = {client: Half(), server: Half()}, {}
            while True:
                for side in select.select([client, server], [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    self.note(halves, waiting, client, server, side, data)
                    (server if side is client else client).sendall(data)

    def note(self, halves, waiting, client, server, side, data):
        with self.lock:
            self.bytes += len(data)
            for line in halves[side].lines(data):
                self.said.append(("C: " if side is client else "S: ") + line)
                tag, _, rest = line.partition(" ")
                if side is client and rest:
                    waiting[tag] = len(self.commands)
                    self.commands.append((rest, None))
                elif side is server and tag in waiting:
                    number = waiting.pop(tag)
                    command = self.commands[number][0]
                    self.commands[number] = (command, rest.split(" ")[0])
                    if command.upper() == "COMPRESS DEFLATE" and rest.startswith("OK"):
                        halves[client].inflate = zlib.decompressobj(-15)
                        halves[server].inflate = zlib.decompressobj(-15)
                if side is server:
                    self.answers.append(line)

    def used(self):
        """Extensions used so far."""
        with self.lock:
            found = {name for name, pattern in COMMANDS for c, outcome in self.commands
                     if (outcome == "OK" or (name == "IDLE" and outcome is None)) and re.match(pattern, c.upper(), re.S)}
            found |= {name for name, pattern in ANSWERS for a in self.answers if re.search(pattern, a.upper())}
        return found

    def refused(self):
        with self.lock:
            return [c for c, outcome in self.commands if outcome == "BAD"]

    def clear(self):
        with self.lock:
            self.commands, self.answers, self.said, self.bytes = [], [], [], 0


class Place:
    """The user, the server, the wire. `with Place() as place:` is a running server."""

    def __init__(self, **settings):
        need_root()
        self.xinetd, self.user = need("xinetd"), RealUser()
        self.home, self.name = self.user.home, self.user.name
        self.uid, self.gid = os.stat(self.home).st_uid, os.stat(self.home).st_gid
        port = free_port()
        with open("imapd.conf", "w") as f:
            f.writelines(f"{k.replace('_', '-')} = {v}\n" for k, v in settings.items())
        with open("xinetd.conf", "w") as f:
            f.write(XINETD.format(imapd=IMAPD, config=os.path.abspath("imapd.conf"), port=port))
        self.server_port, self.wire = port, None

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(listener([self.xinetd, "-dontfork", "-f", os.path.abspath("xinetd.conf"), "-pidfile", os.path.abspath("pid")],
                                          self.server_port))
        self.wire = Wire(self.server_port)
        self.port = self.wire.port
        c = imaplib.IMAP4("127.0.0.1", self.server_port, timeout=30)
        c.login(self.name, PASSWORD)
        self.offered = set(c.capability()[1][0].decode().upper().split())
        self.lacking = [] if REQUIRED else self.try_out(c)
        c.logout()
        return self

    def try_out(self, c):
        """What is offered, but not yet there: a client would use it and fail."""
        c.create("trial")
        c.append("trial", None, None, b"a\r\n")
        c.select("trial", readonly=True)
        asked = {"OBJECTID": "FETCH 1 (EMAILID THREADID)", "UTF8=ACCEPT": 'APPEND "no such mailbox" UTF8 (~{2+}\r\na\n)'}
        lacking = []
        for name, command in asked.items():
            c.send(f"{name} {command}\r\n".encode())
            while not (line := c.readline()).startswith(name.encode() + b" "):
                pass
            if self.has(name) and b" BAD " in line:
                print(f"{name} is offered, but: {command!r} is answered {line!r}")
                lacking.append(name)
        c.close()
        c.delete("trial")
        return lacking

    def __exit__(self, kind, *_):
        if kind is not None:
            print("\n".join(line[:300] for line in self.wire.said[-60:]))
        self.stack.close()

    def has(self, *names):
        return all(n.upper() in self.offered for n in names)

    def as_user(self, argv, timeout=60, **more):
        out = subprocess.run(["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups", "env", "HOME=" + self.home] + argv,
                             capture_output=True, text=True, timeout=timeout, cwd=self.home, **more)
        if out.returncode != 0:
            print("%s: status %d\n%s%s" % (argv[0], out.returncode, out.stdout[-4000:], out.stderr[-4000:]))
            raise AssertionError(f"{argv[0]} failed")
        return out.stdout + out.stderr

    def own(self, path, text="", mode=0o600):
        """A file of the user's, below the home unless the path is absolute."""
        path = os.path.join(self.home, path)
        with open(path, "w") as f:
            f.write(text)
        os.chown(path, self.uid, self.gid)
        os.chmod(path, mode)
        return path

    def own_dir(self, path):
        path = os.path.join(self.home, path)
        os.makedirs(path, exist_ok=True)
        os.chown(path, self.uid, self.gid)
        return path

    def fill(self, name, texts):
        """Makes the mailbox, with these messages (header and text), another program's way."""
        path = self.user.inbox if name == "INBOX" else os.path.join(self.home, name)
        text = "".join("From sender@example.org Thu Jan  1 00:00:%02d 2026\n%s\n\n" % (n, m.rstrip("\n")) for n, m in enumerate(texts))
        if name == "INBOX":
            with open(path, "w") as f:
                f.write(text)
        else:
            self.own(path, text)

    def deliver(self, message, name="INBOX"):
        path = self.user.inbox if name == "INBOX" else os.path.join(self.home, name)
        subprocess.run([need("dotlockfile"), "-l", "-r", "5", path + ".lock"], check=True)
        try:
            with open(path, "a") as f:
                f.write("From mda Thu Jan  1 00:00:09 2026\n%s\n\n" % message.rstrip("\n"))
        finally:
            os.unlink(path + ".lock")

    def box(self, name="INBOX"):
        """The messages as Python's mailbox module reads them."""
        path = self.user.inbox if name == "INBOX" else os.path.join(self.home, name)
        return [m for m in mailbox.mbox(path, create=False) if "INTERNAL DATA" not in str(m["Subject"])]

    def subjects(self, name="INBOX"):
        return [m["Subject"] for m in self.box(name)]

    def flags(self, subject, name="INBOX"):
        m = [m for m in self.box(name) if m["Subject"] == subject][0]
        return set((m["Status"] or "") + (m["X-Status"] or "")), (m["X-Keywords"] or "").split()

    def keeps(self, name, subject, letter, there=True, seconds=25):
        """Waits until the flag is in the file (flags may be there a little later, imapd.conf(5))."""
        end = time.monotonic() + seconds
        while (letter in self.flags(subject, name)[0]) != there:
            assert time.monotonic() < end, f"{name}: {subject}: {letter} is {'not ' if there else ''}there: {self.flags(subject, name)}"
            time.sleep(0.1)

    def report(self, client, needs, may_be_bad=()):
        """What was used, against what the client is known to use. needs: extensions."""
        used = {n for n in self.wire.used() if self.has(n) or n == "SASL-IR"}
        bad = [c for c in self.wire.refused() if not any(re.match(m, c) for m in may_be_bad)]
        print(f"{client} used: " + " ".join(sorted(used)))
        missing = sorted(n for n in needs if n not in used and (REQUIRED or self.has(n) or n == "IMAP4rev1"))
        later = sorted(n for n in needs if n not in used and n not in missing)
        if later:
            print("not offered yet: " + " ".join(later))
        assert not bad, f"{client} was answered BAD: {bad}"
        assert not missing, f"{client} did not use: {missing}"


class Terminal:
    """A program of the user's in tmux: keys in, screen out."""

    def __init__(self, place, *command):
        self.run = ["env", "-u", "TMUX", need("tmux"), "-u", "-L", "imapd-client-%d" % os.getpid(), "-f", "/dev/null"]
        words = ["setpriv", "--reuid", str(place.uid), "--regid", str(place.gid), "--clear-groups", "env", "HOME=" + place.home, "TERM=screen",
                 "LC_ALL=C.UTF-8", *command]
        subprocess.run(self.run + ["new-session", "-d", "-x", "120", "-y", "40", " ".join(f"'{w}'" for w in words)], check=True, cwd=place.home)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(self.run + ["kill-server"], stderr=subprocess.DEVNULL)

    def wait(self, *patterns, gone=()):
        end = time.monotonic() + 20
        while True:
            text = subprocess.run(self.run + ["capture-pane", "-p"], capture_output=True, text=True).stdout
            if all(re.search(p, text) for p in patterns) and not any(re.search(p, text) for p in gone):
                return
            assert time.monotonic() < end, f"not shown: {patterns}, or shown: {gone}:\n{text}"
            time.sleep(0.1)

    def keys(self, *keys):
        subprocess.run(self.run + ["send-keys", *keys], check=True)

    def type(self, text):
        self.keys("-l", text)

    def leave(self):
        self.keys("q")
        end = time.monotonic() + 20
        while subprocess.run(self.run + ["has-session"], stderr=subprocess.DEVNULL).returncode == 0:
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.1)
