"""An IMAP client for the tests that believes nothing: each response is parsed by the grammar, and what it says of the
selected mailbox is held against RFC 3501 (sequence numbers, EXISTS never shrinking but by EXPUNGE, ...)."""
import os
import select
import socket
import subprocess
import time


class Wrong(Exception):
    pass


class Atom(str):
    pass


def parse(data):
    """One response line with its literals (bytes, without the final CRLF) as nested lists of Atom, bytes, int and None."""
    at, n = 0, len(data)

    def value():
        nonlocal at
        c = data[at:at + 1]
        if c == b'(':
            at += 1
            out = []
            while data[at:at + 1] != b')':
                if at >= n:
                    raise Wrong("unclosed list: %r" % data[:200])
                out.append(value())
                if data[at:at + 1] == b' ':
                    at += 1
                elif data[at:at + 1] not in (b')', b'('):
                    raise Wrong("junk in list at %d: %r" % (at, data[at:at + 40]))
            at += 1
            return out
        if c == b'"':
            at += 1
            out = bytearray()
            while data[at:at + 1] != b'"':
                if at >= n:
                    raise Wrong("unclosed string")
                if data[at:at + 1] == b'\\':
                    at += 1
                    if data[at:at + 1] not in (b'"', b'\\'):
                        raise Wrong("bad escape in string")
                if data[at] in (0, 10, 13):
                    raise Wrong("control octet in quoted string")
                out.append(data[at])
                at += 1
            at += 1
            return bytes(out)
        if c == b'{':
            end = data.index(b'}\r\n', at)
            size = int(data[at + 1:end])
            at = end + 3 + size
            if at > n:
                raise Wrong("literal beyond the line")
            if b'\0' in data[end + 3:at]:
                raise Wrong("NUL in a literal")
            return data[end + 3:at]
        start = at
        depth = 0
        while at < n and (depth or data[at:at + 1] not in (b' ', b')', b'(', b'"')):
            if data[at:at + 1] == b'[':
                depth += 1
            elif data[at:at + 1] == b']':
                depth -= 1
            elif data[at:at + 1] == b'{':
                raise Wrong("literal in an atom")
            at += 1
        word = data[start:at]
        if not word or min(word) < 32 or max(word) > 126:
            raise Wrong("bad atom at %d: %r" % (start, data[start:start + 40]))
        if word.isdigit():
            return int(word)
        return None if word.upper() == b'NIL' else Atom(word.decode('ascii'))

    out = []
    while at < n:
        out.append(value())
        if at < n:
            if data[at:at + 1] != b' ':
                raise Wrong("expected a space at %d: %r" % (at, data[max(0, at - 40):at + 40]))
            at += 1
            if at == n:
                raise Wrong("trailing space: %r" % data[-60:])
    return out


class Client:
    """A session. command() sends and returns (status, text, untagged responses)."""

    def __init__(self, argv=None, address=None, env=None, timeout=60):
        self.timeout = timeout
        self.process = None
        if argv:
            ours, theirs = socket.socketpair()
            self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, env=env)
            theirs.close()
            self.sock = ours
        else:
            self.sock = socket.create_connection(address, timeout=timeout)
        self.sock.settimeout(timeout)
        self.buffer = b''
        self.number = 0
        self.exists = None
        self.uids = None            # by sequence number, as far as known
        self.numbers_fixed = False  # no EXPUNGE may come
        self.greeting = self.response()

    def fill(self):
        got = self.sock.recv(1 << 16)
        if not got:
            raise EOFError("connection closed")
        self.buffer += got

    def line(self):
        """One response with its literals, as bytes."""
        out = b''
        while True:
            while b'\n' not in self.buffer:
                self.fill()
            line, self.buffer = self.buffer.split(b'\n', 1)
            if not line.endswith(b'\r'):
                raise Wrong("line without CR: %r" % line[-60:])
            out += line[:-1]
            if not (out.endswith(b'}') and b'{' in out[-24:]):
                return out
            head = out[out.rindex(b'{') + 1:-1]
            if not head.isdigit():
                return out
            size = int(head)
            parts, have = [self.buffer], len(self.buffer)
            while have < size:
                got = self.sock.recv(1 << 20)
                if not got:
                    raise EOFError("connection closed in a literal")
                parts.append(got)
                have += len(got)
            self.buffer = b''.join(parts)
            out += b'\r\n' + self.buffer[:size]
            self.buffer = self.buffer[size:]

    def response(self):
        return self.line()

    def track(self, line):
        """Holds an untagged response against what is known of the mailbox; returns it parsed (text responses: as they are)."""
        word = line.split(b' ', 3)
        if word[1].upper() in (b'OK', b'NO', b'BAD', b'BYE', b'PREAUTH'):
            return [Atom(word[1].decode().upper()), line]
        if line.startswith(b'* THREAD'):                 # lists without spaces between them, as deep as they like
            return [Atom('THREAD'), line[9:]]
        got = parse(line[2:])
        if isinstance(got[0], int) and len(got) > 1:
            kind = str(got[1]).upper()
            if kind == 'EXPUNGE':
                if self.numbers_fixed:
                    raise Wrong("EXPUNGE while numbers are fixed")
                if self.exists is None or not 1 <= got[0] <= self.exists:
                    raise Wrong("EXPUNGE %d of %s" % (got[0], self.exists))
                self.exists -= 1
                if self.uids is not None:
                    del self.uids[got[0] - 1]
            elif kind == 'EXISTS':
                if self.exists is not None and got[0] < self.exists:
                    raise Wrong("EXISTS shrinks from %d to %d" % (self.exists, got[0]))
                self.exists = got[0]
                if self.uids is not None:
                    self.uids += [None] * (got[0] - len(self.uids))
            elif kind == 'FETCH':
                if self.exists is None or not 1 <= got[0] <= self.exists:
                    raise Wrong("FETCH of message %d of %s" % (got[0], self.exists))
                items = got[2]
                if len(items) % 2:
                    raise Wrong("odd FETCH list")
                pairs = {str(items[i]).upper(): items[i + 1] for i in range(0, len(items), 2)}
                if 'UID' in pairs and self.uids is not None:
                    known = self.uids[got[0] - 1]
                    if known is not None and known != pairs['UID']:
                        raise Wrong("message %d had UID %d, now %d" % (got[0], known, pairs['UID']))
                    self.uids[got[0] - 1] = pairs['UID']
                got.append(pairs)
        return got

    def command(self, text, *literals, fixed=None):
        """text: bytes or str; each "{}" in it is replaced by a literal."""
        self.number += 1
        tag = b't%d' % self.number
        if isinstance(text, str):
            text = text.encode()
        verb = text.split(b' ')[0].upper()
        self.numbers_fixed = verb in (b'FETCH', b'STORE', b'SEARCH') if fixed is None else fixed
        if verb in (b'SELECT', b'EXAMINE'):
            self.exists, self.uids = None, []
        for literal in literals:
            head, text = text.split(b'{}', 1)
            text = head + b'{%d+}\r\n' % len(literal) + literal + text
        self.sock.sendall(tag + b' ' + text + b'\r\n')
        return self.until(tag)

    def until(self, tag):
        untagged = []
        while True:
            line = self.line()
            if line.startswith(b'* '):
                untagged.append(self.track(line))
            elif line.startswith(tag + b' '):
                self.numbers_fixed = False
                word = line[len(tag) + 1:].split(b' ', 1)
                return word[0].decode(), word[1] if len(word) > 1 else b'', untagged
            else:
                raise Wrong("unexpected: %r" % line[:200])

    def ok(self, text, *literals, **more):
        status, said, untagged = self.command(text, *literals, **more)
        if status != 'OK':
            raise Wrong("%r: %s %r" % (text[:200], status, said))
        return untagged

    def fetch(self, text):
        """FETCH or UID FETCH: {sequence number: pairs}."""
        out = {}
        for r in self.ok(text):
            if len(r) > 3 and r[1] == 'FETCH':
                out.setdefault(r[0], {}).update(r[3])
        return out

    def close(self):
        try:
            self.command('LOGOUT')
        except (EOFError, OSError):
            pass
        self.end()

    def end(self):
        self.sock.close()
        if self.process:
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Home:
    """A scratch user: PREAUTH sessions of an ordinary uid with INBOX at HOME/inbox."""
    UID = 54321

    def __init__(self, directory, imapd, extra=''):
        self.dir, self.imapd = os.path.abspath(directory), imapd
        os.makedirs(self.dir, exist_ok=True)
        self.config = os.path.join(self.dir, '..', os.path.basename(self.dir) + '.conf')
        with open(self.config, 'w') as f:
            f.write('inbox = %h/inbox\n' + extra)
        self.inbox = os.path.join(self.dir, 'inbox')
        self.own()

    def own(self):
        if os.getuid() == 0:
            subprocess.run(['chown', '-R', '%d:%d' % (self.UID, self.UID), self.dir], check=True)
            path = self.dir
            while path != '/':
                os.chmod(path, os.stat(path).st_mode | 0o011)
                path = os.path.dirname(path)

    def prefix(self):
        if os.getuid() == 0:
            return ['setpriv', '--reuid', str(self.UID), '--regid', str(self.UID), '--clear-groups']
        return []

    def argv(self):
        return self.prefix() + ['env', 'HOME=' + self.dir, self.imapd, '--config', self.config]

    def client(self, **more):
        return Client(self.argv(), **more)


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise Wrong("waited in vain")
