"""What the wounds_*.test share: old ways to break IMAP servers, tried from outside before login, after it and as PREAUTH.

Every command has bounds: processor time of all processes of the connection, and, in the build without sanitizers, the peak of
resident memory that it adds. Afterwards the connection must still answer, or have said BYE; no process may have died of a signal,
and neither sanitizers nor the log may have anything to tell.
"""
import base64
import os
import select
import shutil
import subprocess
import sys
import threading
import time

from auth_lib import *

NAMES = {"alice": 62101, "bob": 62102}
CPU = 1.0                   # seconds of one command without sanitizers; with them SLOWER times as much
SLOWER = 12
GROWTH = 24 * 1024          # KiB that one command may add to the peak
WALL = 30


class Ended(Failure):
    """The connection is over where it should not be."""


class Answer:
    def __init__(self, status, text, untagged):
        self.status, self.text, self.untagged = status, text, untagged

    def __repr__(self):
        return f"{self.status} {self.text[:200]!r} after {len(self.untagged)} lines {[x[:120] for x in self.untagged[-3:]]}"


def tree(pid):
    """The process and what it started, as far as they are there."""
    out = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            for child in f.read().split():
                out += tree(int(child))
    except OSError:
        pass
    return out


def cpu_of(pids):
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:15]))
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_of(pids):
    total = 0
    for pid in pids:
        try:
            total += int(status_of(pid).get("VmHWM", "0").split()[0])
        except OSError:
            pass
    return total


def reset_peak(pids):
    for pid in pids:
        try:
            with open(f"/proc/{pid}/clear_refs", "w") as f:
                f.write("5")
        except OSError:
            pass


class Sampler(threading.Thread):
    """The most private memory (KiB) of processes over a time: the peak that the kernel keeps also counts pages of mapped files."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.over = pids, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.002):
            self.most = max(self.most, anonymous_of(self.pids))

    def end(self):
        self.over.set()
        self.join()
        return max(self.most, anonymous_of(self.pids))


def anonymous_of(pids):
    total = 0
    for pid in pids:
        try:
            total += int(status_of(pid).get("RssAnon", "0").split()[0])
        except OSError:
            pass
    return total


class Wire:
    """A connection that is told exactly which octets to send, and what each may cost."""

    def __init__(self, client, plain):
        self.client, self.plain, self.socket = client, plain, client.socket
        self.socket.settimeout(WALL)
        self.buffer, self.at, self.number, self.over = bytearray(), 0, 0, False
        self.pid, self.last = client.process.pid, b""
        self.greeting = self.line()

    # reading: over is True once the other side has ended

    def fill(self):
        if self.at > 1 << 20:
            del self.buffer[:self.at]
            self.at = 0
        try:
            got = self.socket.recv(1 << 18)
        except ConnectionError:
            got = b""
        except TimeoutError:
            raise Failure(f"no answer in {WALL} s to {self.last[:200]!r}, processes {tree(self.pid)}")
        self.over = self.over or got == b""
        self.buffer += got
        return got != b""

    def line(self):
        """A response with its literals, without the last CRLF; b"" when the connection is over."""
        out = b""
        while True:
            searched = self.at
            while (end := self.buffer.find(b"\r\n", searched)) < 0:
                searched = max(len(self.buffer) - 1, self.at)
                moved = self.at
                if not self.fill():
                    return b""
                searched -= moved - self.at
            piece = bytes(self.buffer[self.at:end])
            self.at = end + 2
            out += piece
            if not piece.endswith(b"}") or not piece[piece.rfind(b"{") + 1:-1].isdigit():
                return out
            size = int(piece[piece.rfind(b"{") + 1:-1])
            while len(self.buffer) - self.at < size:
                if not self.fill():
                    return b""
            out += b"\r\n" + bytes(self.buffer[self.at:self.at + size])
            self.at += size

    # sending

    def send(self, octets):
        """All of it, unless the other side has ended. Answers are read meanwhile, so that neither side waits for the other."""
        self.last = bytes(octets[:200])
        view = memoryview(octets)
        while view:
            readable, writable, _ = select.select([self.socket] if not self.over else [], [self.socket], [], WALL)
            if not readable and not writable:
                raise Failure(f"reads no input for {WALL} s")
            if readable and not self.fill():
                return
            if writable:
                try:
                    view = view[self.socket.send(view[:1 << 16]):]
                except ConnectionError:
                    self.over = not self.fill()
                    return

    def slowly(self, octets):
        for i in range(len(octets)):
            self.send(octets[i:i + 1])

    def answer(self, tag):
        """Until the tagged line. Status BYE: the connection was ended with one; CLOSED: without."""
        untagged, bye = [], False
        while True:
            line = self.line()
            if line == b"":
                return Answer("BYE" if bye else "CLOSED", b"", untagged)
            if line.startswith(tag + b" "):
                word, _, text = line[len(tag) + 1:].partition(b" ")
                return Answer(word.decode("latin-1"), text, untagged)
            bye = bye or line.startswith(b"* BYE")
            untagged.append(line)

    def do(self, command, *follow, tag=None, cpu=CPU, grow=GROWTH, slowly=False, private=False):
        """Sends the command, and each of follow once a continuation has been asked for. What it cost is held against the bounds;
        private: what it maps of files is none of it."""
        pids = tree(self.pid)
        reset_peak(pids)
        before, used = anonymous_of(pids) if private else peak_of(pids), cpu_of(pids)
        sampler = Sampler(pids) if private and self.plain else None
        if isinstance(command, str):
            command = command.encode("latin-1")
        self.number += 1
        tag = b"w%d" % self.number if tag is None else tag
        (self.slowly if slowly else self.send)(tag + b" " + command + b"\r\n")
        got, untagged = None, []
        for more in follow:
            got = self.continuation(tag, untagged)
            if got is not None:
                break
            (self.slowly if slowly else self.send)(more + b"\r\n")
        if got is None:
            got = self.answer(tag)
        got.untagged = untagged + got.untagged
        used = cpu_of(pids) - used
        what = f"{command[:60]!r} ({len(command)} octets)"
        check(used <= cpu * (1 if self.plain else SLOWER), f"{what} took {used:.2f} s of processor time")
        if self.plain:
            grown = (sampler.end() if sampler else peak_of(pids)) - before
            check(grown <= grow, f"{what} took {grown} KiB of memory")
        return got

    def continuation(self, tag, untagged):
        """None when the server asks for more; else the answer that came instead."""
        while True:
            line = self.line()
            if line.startswith(b"+"):
                untagged.append(line)
                return None
            if line == b"":
                return Answer("BYE" if any(x.startswith(b"* BYE") for x in untagged) else "CLOSED", b"", [])
            if line.startswith(tag + b" "):
                word, _, text = line[len(tag) + 1:].partition(b" ")
                return Answer(word.decode("latin-1"), text, [])
            untagged.append(line)

    def want(self, statuses, command, *follow, **more):
        """The command ends in one of the statuses ("NO BAD"), and the connection then still works unless it was ended."""
        got = self.do(command, *follow, **more)
        check(got.status in statuses.split(), f"{command[:80]!r} ({len(command)} octets): {got}, not {statuses}")
        if got.status not in ("BYE", "CLOSED") and not self.ended(got):
            self.works()
        return got

    def ended(self, got):
        return self.over or any(x.startswith(b"* BYE") for x in got.untagged)

    def works(self):
        self.number += 1
        tag = b"n%d" % self.number
        self.send(tag + b" NOOP\r\n")
        got = self.answer(tag)
        if got.status in ("BYE", "CLOSED"):
            raise Ended(f"the connection ended: {got}")
        check(got.status == "OK", f"NOOP afterwards: {got}")

    def ok(self, command, *follow, **more):
        got = self.do(command, *follow, **more)
        check(got.status == "OK", f"{command[:80]!r}: {got}")
        return got

    def close(self):
        self.client.close()
        check(self.client.process.returncode >= 0, f"ended by signal {-self.client.process.returncode}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.client.process.kill()
            self.client.close()


class Wounds(Place):
    """Users, and the two kinds of sessions: after a login (as root, with sanitizers), and PREAUTH (an ordinary user, without)."""

    def __init__(self):
        super().__init__()
        self.home = os.path.join(self.dir, "home")             # in memory: what is durable is not the question here
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.home], check=True)
        self.settings["inbox"] = "%h/inbox"
        self.settings["login-attempts"] = "100000"
        self.homes = {}
        for name, uid in NAMES.items():
            self.homes[name] = self.add_user(name, uid)
            self.write(name, "inbox", b"")

    def close(self):
        subprocess.run(["umount", self.home])
        super().close()

    def write(self, user, name, octets):
        """A file of the user."""
        path = os.path.join(self.homes[user], name)
        with open(path, "wb") as f:
            f.write(octets)
        os.chown(path, NAMES[user], NAMES[user])
        os.chmod(path, 0o600)
        return path

    def mailbox(self, name, *messages):
        """A mailbox of both users, new: what was known of an old one is forgotten."""
        text = b"".join(b"From s@example.org Mon Jan  1 00:00:%02d 2024\n" % (i % 60) + m.rstrip(b"\n") + b"\n\n" for i, m in enumerate(messages))
        for user in NAMES:
            self.write(user, name, text)

    def wire(self, plain=False, **changes):
        """Before login."""
        client = self.connect(imapd=PLAIN if plain else IMAPD, config=self.config(**changes))
        wire = Wire(client, plain)
        check(wire.greeting.startswith(b"* OK "), f"greeting {wire.greeting!r}")
        return wire

    def session(self, plain, **changes):
        if plain:
            wire = Wire(self.connect(network=False, imapd=PLAIN, config=self.config(**changes), user=NAMES["bob"]), True)
            check(wire.greeting.startswith(b"* PREAUTH "), f"greeting {wire.greeting!r}")
            return wire
        wire = self.wire(False, **changes)
        check(wire.do(f"LOGIN alice {PASSWORD}").status == "OK", "alice cannot log in")
        return wire

    def sessions(self, *select, **changes):
        """Both kinds, one after the other, each with the mailbox selected; closed and judged when the loop goes on."""
        for plain in (False, True):
            with self.session(plain, **changes) as wire:
                for name in select:
                    wire.ok(f"SELECT {name}", cpu=20, grow=1 << 20)
                yield wire

    def quiet(self, since):
        """Nothing was reported since the function began."""
        said = "".join(x for x in self.reports()[since:].splitlines(True) if not x.startswith("imapd: "))       # PREAUTH logs there
        check(said.strip() == "", f"on stderr: {said[:3000]}")
        bad = [x for x in self.log() if any(w in x for w in ("killed by signal", "sent what it must not", "SIGSYS", "crash", "abort"))]
        check(not bad, f"in the log: {bad[:5]}")


def main(functions):
    """Runs the functions on one set of users. Each is named after the old wound."""
    own_namespace()
    for n, f in enumerate(functions):
        f.__doc__ = f"{f.__name__}: {f.__doc__.strip().splitlines()[0]}"
    only = sys.argv[1:]
    place = Wounds()
    failed = 0
    try:
        for f in functions:
            if only and not any(x in f.__name__ for x in only):
                continue
            since, started = len(place.reports()), time.monotonic()
            place.log()
            def judged(p, f=f, since=since):
                f(p)
                p.quiet(since)
            judged.__doc__ = f.__doc__
            failed += run_all([judged], place)
            print(f"     {time.monotonic() - started:.1f} s")
    finally:
        place.close()
    sys.exit(1 if failed else 0)


def b64(octets):
    return base64.b64encode(octets)
