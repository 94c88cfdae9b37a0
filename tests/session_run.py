#!/usr/bin/env python3
"""Runs session scripts (tests/sessions/README.md) against imapd on a pair of pipes.

usage: session_run.py [--imapd PROGRAM] [-v] FILE.session...     (PROGRAM: else $IMAPD)

Each script gets a directory of its own below the current one, with a home, a spool and a configuration. As root, imapd is
started as an ordinary user (PREAUTH), or, if the script has a `login as` line, as root, with that user in a passwd-file."""
import argparse
import mailbox
import os
import re
import select
import shutil
import subprocess
import sys
import time

DEMO_UID = 61234
PATIENCE = float(os.environ.get("SESSION_PATIENCE", "20"))
HERE = os.path.dirname(os.path.abspath(__file__))
PLACEHOLDERS = {"any": ".*", "n": "[0-9]+", "word": r"[^\s]+", "date": r'"[ 0-9]\d-[A-Z][a-z][a-z]-\d{4} [0-9:]{8} [-+]\d{4}"'}


class Mismatch(Exception):
    pass


class Lacking(Exception):
    """A capability that the script needs is not offered."""


class Script:
    """A parsed file: settings, and the steps of the dialogue."""

    def __init__(self, path):
        self.path, self.mailboxes, self.login, self.config, self.steps, self.needs = path, [], None, [], [], []
        with open(path, "rb") as f:
            lines = f.read().decode("utf-8").split("\n")
        self.steps = list(self.unroll(list(enumerate(lines, 1)), {}))

    def unroll(self, lines, names):
        i = 0
        while i < len(lines):
            number, line = lines[i]
            m = re.fullmatch(r"repeat (\d+)", line)
            if m:
                end = next(k for k in range(i, len(lines)) if lines[k][1] == "end repeat")
                for turn in range(1, int(m.group(1)) + 1):
                    yield from self.unroll(lines[i + 1:end], {"i": str(turn)})
                i = end + 1
                continue
            i += 1
            if "i" in names:
                line = line.replace("{i}", names["i"])
            if line.strip() and not line.startswith("#"):
                step = self.parse(number, line)
                if step:
                    yield step

    def parse(self, number, line):
        m = re.fullmatch(r"([CS])([:~?])(?: (.*))?", line)
        if m:
            return (m.group(1) + m.group(2), m.group(3) or "", number)
        m = re.fullmatch(r"mailbox (\S+)(?: < (\S+))?", line)
        if m:
            self.mailboxes.append(m.groups())
            return None
        m = re.fullmatch(r"login as (\S+) password (\S+)", line)
        if m:
            self.login = m.groups()
            return None
        m = re.fullmatch(r"needs (.+)", line)
        if m:
            self.needs += m.group(1).upper().split()
            return None
        m = re.fullmatch(r"config (\S+ = .*)", line)
        if m:
            self.config.append(m.group(1))
            return None
        for pattern, kind in ((r"deliver (\S+) < (\S+)", "deliver"), (r"then (\S+) holds (\d+)", "holds"),
                              (r"(end of session)", "end"), (r"(hang up)", "hangup")):
            m = re.fullmatch(pattern, line)
            if m:
                return (kind, m.groups(), number)
        sys.exit(f"{self.path}:{number}: not understood: {line}")


def octets(text):
    """The bytes of a C: line: $xNN is an octet, $*N:T$ is T repeated N times."""
    text = re.sub(r"\$\*(\d+):([^$]+)\$", lambda m: m.group(2) * int(m.group(1)), text)
    parts = re.split(r"\$x([0-9a-fA-F]{2})", text)
    return b"".join(p.encode() if i % 2 == 0 else bytes([int(p, 16)]) for i, p in enumerate(parts))


def pattern_of(text, names):
    """A regular expression for an S: line."""
    def token(m):
        kind, name = m.group(1), m.group(2)
        if name:
            return f"(?P<{name}>{PLACEHOLDERS[kind]})"
        return f"(?:{PLACEHOLDERS[kind]})" if kind in PLACEHOLDERS else re.escape(names[kind])
    out, at = "", 0
    for m in re.finditer(r"\{([a-z]\w*)(?: as (\w+))?\}", text):
        if m.group(1) in PLACEHOLDERS or m.group(1) in names:
            out += re.escape(text[at:m.start()]) + token(m)
            at = m.end()
    out += re.escape(text[at:])
    return re.sub(rb"(?:\\\$|\$)x([0-9a-f]{2})", lambda m: re.escape(bytes([int(m.group(1), 16)])), out.encode())


class Place:
    """Where one script's mail is."""

    def __init__(self, script, directory):
        self.directory, self.script = os.path.abspath(directory), script
        self.home, self.spool = os.path.join(self.directory, "home"), os.path.join(self.directory, "spool")
        self.user = script.login[0] if script.login else "riley"
        for d in (self.directory, self.home, self.spool):
            os.mkdir(d, 0o755)
        for name, source in script.mailboxes:
            path = self.path(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(self.fixture(source) if source else b"")
        self.write_config()
        if os.getuid() == 0:
            for top in (self.home, self.spool):
                for base, dirs, files in os.walk(top):
                    for n in [base] + [os.path.join(base, f) for f in files]:
                        os.chown(n, DEMO_UID, DEMO_UID)

    def write_config(self):
        self.config = os.path.join(self.directory, "imapd.conf")
        lines = [f"inbox = {self.spool}/{self.user}", "hostname = mail.example.org"] + self.script.config
        if self.script.login:
            from auth_lib import FAST, crypt
            secret = crypt(self.script.login[1], FAST)
            users = os.path.join(self.directory, "users")
            with open(users, "w") as f:
                f.write(f"{self.user}:{secret}:{DEMO_UID}:{DEMO_UID}::{self.home}\n")
            lines += [f"passwd-file = {users}", "login-delay = 10"]
        with open(self.config, "w") as f:
            f.write("\n".join(lines) + "\n")

    def fixture(self, name):
        with open(os.path.join(os.path.dirname(self.script.path), "fixtures", name), "rb") as f:
            return f.read()

    def path(self, name):
        return os.path.join(self.spool, self.user) if name.upper() == "INBOX" else os.path.join(self.home, name)

    def command(self, imapd):
        argv = [imapd, "--config", self.config]
        if os.getuid() == 0 and not self.script.login:
            argv = ["setpriv", "--reuid", str(DEMO_UID), "--regid", str(DEMO_UID), "--clear-groups"] + argv
        return argv

    def deliver(self, name, source):
        """As a delivery agent does it: dotlock, fcntl lock, append."""
        import fcntl
        path = self.path(name)
        for _ in range(200):
            try:
                os.close(os.open(path + ".lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError:
                time.sleep(0.05)
        with open(path, "ab") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            f.write(self.fixture(source))
        os.unlink(path + ".lock")


class Dialogue:
    def __init__(self, place, imapd, log):
        self.place, self.log, self.names, self.input, self.ended = place, log, {}, b"", False
        env = dict(os.environ, HOME=place.home, USER=place.user, LOGNAME=place.user)
        self.errors = open(os.path.join(place.directory, "stderr"), "w+b")
        self.child = subprocess.Popen(place.command(imapd), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self.errors, env=env, cwd=place.home, start_new_session=True)

    def send(self, text):
        text = re.sub(r"\{([a-z]\w*)\}", lambda m: self.names.get(m.group(1), m.group(0)), text)
        data = octets(text) + b"\r\n"
        self.log("C: " + text)
        try:
            self.child.stdin.write(data)
            self.child.stdin.flush()
        except BrokenPipeError:
            raise Mismatch("the server has closed the connection")

    def line(self):
        """The next line from the server without CRLF; None at its end."""
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.input and not self.ended:
            ready, _, _ = select.select([self.child.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Mismatch(f"no line within {PATIENCE:.0f} s" + (f", only {self.input!r}" if self.input else ""))
            more = os.read(self.child.stdout.fileno(), 65536)
            self.input += more
            self.ended = not more
        if self.ended and not self.input:
            return None
        line, _, self.input = self.input.partition(b"\n")
        self.log("S: " + line.rstrip(b"\r").decode("utf-8", "replace"))
        return line.removesuffix(b"\r")

    def matches(self, text, line):
        if line is None:
            return False
        m = re.fullmatch(pattern_of(text, self.names), line, re.S)
        if m:
            self.names.update({k: v.decode() for k, v in m.groupdict().items()})
        return m is not None

    def expect(self, steps):
        """One S: line, or a run of S~ lines in any order; returns how many steps were used."""
        kind, text, _ = steps[0]
        if kind == "S:" and text == "...":
            return self.skip_to(steps)
        if kind == "S:" or kind == "S?":
            line = self.line()
            if kind == "S?" and not self.matches(text, line):
                self.input = (line or b"") + b"\r\n" + self.input if line is not None else self.input
                return 1
            if not self.matches(text, line):
                raise Mismatch(f"expected  {text}\n      received  {shown(line)}")
            return 1
        count = next((i for i, s in enumerate(steps) if s[0] != "S~"), len(steps))
        left = [s[1] for s in steps[:count]]
        while left:
            line = self.line()
            hit = next((t for t in left if self.matches(t, line)), None)
            if hit is None:
                raise Mismatch("expected one of  " + "\n                       ".join(left) + f"\n      received  {shown(line)}")
            left.remove(hit)
        return count

    def look_for(self, needs):
        """The greeting lists what is offered; it stays to be read."""
        greeting = self.line() or b""
        self.input = greeting + b"\r\n" + self.input
        lacking = [n for n in needs if n not in re.split(r"[\s\[\]]+", greeting.decode("latin-1").upper())]
        if lacking:
            raise Lacking(" ".join(lacking))

    def skip_to(self, steps):
        if len(steps) < 2 or steps[1][0] != "S:":
            raise Mismatch("a line must follow `S: ...`")
        while True:
            line = self.line()
            if self.matches(steps[1][1], line):
                return 2
            if line is None or re.match(rb"\w+ (OK|NO|BAD)\b", line):
                raise Mismatch(f"expected, at last,  {steps[1][1]}\n      received  {shown(line)}")

    def finish(self):
        if self.child.stdin and not self.child.stdin.closed:
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass
        while (line := self.line()) is not None:
            if not line.startswith(b"*"):
                raise Mismatch(f"nothing more was expected, received  {shown(line)}")
        status = self.child.wait(PATIENCE)
        if status != 0:
            raise Mismatch(f"imapd ended with status {status}")

    def holds(self, name, count):
        box = mailbox.mbox(self.place.path(name), create=False)
        have = sum(1 for m in box if "X-IMAP" not in m)
        if have != int(count):
            raise Mismatch(f"{name} holds {have} messages, not {count}")

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")


def shown(line):
    return "the end of the connection" if line is None else line.decode("utf-8", "backslashreplace")


def play(dialogue, steps):
    i = 0
    while i < len(steps):
        kind, what, number = steps[i]
        try:
            if kind == "C:":
                dialogue.send(what)
            elif kind[0] == "S":
                i += dialogue.expect(steps[i:]) - 1
            elif kind == "deliver":
                dialogue.place.deliver(*what)
            elif kind == "holds":
                dialogue.holds(*what)
            elif kind == "hangup":
                dialogue.child.stdin.close()
            elif kind == "end" and dialogue.line() is not None:
                raise Mismatch("expected the end of the connection")
        except Mismatch as e:
            raise Mismatch(f"line {number}: {e}") from None
        i += 1
    dialogue.finish()


def run_script(path, imapd, verbose):
    """True, False, or None if it could not run here."""
    script = Script(path)
    name = os.path.splitext(os.path.basename(path))[0]
    if script.login and os.getuid() != 0:
        print(f"  {name}: skipped, a login needs root")
        return None
    transcript = []
    log = (lambda line: print("    " + line)) if verbose else transcript.append
    directory = os.path.abspath("session-" + name)
    shutil.rmtree(directory, ignore_errors=True)
    place = Place(script, directory)
    dialogue = Dialogue(place, imapd, log)
    problem = None
    try:
        if script.needs:
            dialogue.look_for(script.needs)
        play(dialogue, script.steps)
    except Lacking as e:
        dialogue.stop()
        print(f"  {name}: skipped, imapd does not offer {e}")
        return None
    except (Mismatch, subprocess.TimeoutExpired) as e:
        problem = str(e)
    errors = dialogue.stop()
    if not problem and "ERROR: AddressSanitizer" in errors:
        problem = "a sanitizer's report"
    if problem:
        print(f"  {name}: FAILED at {problem}")
        for line in transcript[-12:]:
            print("      " + line[:300])
        for line in errors.splitlines()[:40]:
            print("      stderr: " + line[:300])
        return False
    print(f"  {name}: ok")
    shutil.rmtree(directory, ignore_errors=True)
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--imapd", default=os.environ.get("IMAPD"))
    p.add_argument("-v", "--verbose", action="store_true", help="show the dialogue")
    p.add_argument("files", nargs="+")
    args = p.parse_args()
    if not args.imapd:
        p.error("no --imapd and no $IMAPD")
    os.umask(0o022)
    results = [run_script(f, os.path.abspath(args.imapd), args.verbose) for f in args.files]
    print(f"{results.count(True)} sessions as written, {results.count(False)} not, {results.count(None)} not run")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
