"""The wire of tracker.test: a strict parser of responses, and a connection to imapd that sends literals in both forms,
compresses, counts octets and keeps the dialogue."""
import collections
import re
import socket
import subprocess
import time
import zlib


class Violation(Exception):
    """What the server said is not what the RFC section allows."""

    def __init__(self, text, section='RFC 9051'):
        super().__init__('%s [%s]' % (text, section))


class Gone(Exception):
    """The connection ended."""


class Atom(str):
    pass


ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){"]+')
FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+|\\\*')


class Parser:
    """One response, its literals included, without the last CRLF."""

    def __init__(self, data, utf8=False):
        self.data, self.at, self.utf8 = data, 0, utf8

    def fail(self, what):
        raise Violation('%s at %d: %r' % (what, self.at, self.data[max(0, self.at - 40):self.at + 60]), 'RFC 9051 section 9')

    def peek(self):
        return self.data[self.at:self.at + 1]

    def space(self):
        if self.peek() != b' ':
            self.fail('expected one space')
        self.at += 1

    def ended(self):
        return self.at == len(self.data)

    def quoted(self):
        out, self.at = bytearray(), self.at + 1
        while self.peek() != b'"':
            c = self.peek()
            if c == b'\\':
                self.at += 1
                c = self.peek()
                if c not in (b'"', b'\\'):
                    self.fail('bad escape')
            if c in (b'', b'\0', b'\r', b'\n') or c > b'\x7e' and not self.utf8:
                self.fail('octet that a quoted string cannot hold')
            out += c
            self.at += 1
        self.at += 1
        return bytes(out)

    def literal(self):
        m = re.compile(rb'(~?)\{(0|[1-9]\d*)\}\r\n').match(self.data, self.at)
        if not m:
            self.fail('bad literal')
        self.at = m.end() + int(m.group(2))
        out = self.data[m.end():self.at]
        if len(out) != int(m.group(2)) or b'\0' in out and not m.group(1):
            self.fail('NUL in a literal, or too short a literal')
        return out

    def list(self):
        out, self.at = [], self.at + 1
        while self.peek() != b')':
            if out and not (isinstance(out[-1], list) and self.peek() == b'('):
                self.space()
            out.append(self.value())
        self.at += 1
        return out

    def value(self):
        c = self.peek()
        if c == b'(':
            return self.list()
        if c == b'"':
            return self.quoted()
        if c == b'{' or self.data[self.at:self.at + 2] == b'~{':
            return self.literal()
        m = re.compile(rb'(?:BODY|BINARY)(?:\.SIZE)?\[([^\]"]|"[^"]*")*\](<\d+>)?', re.I).match(self.data, self.at) or ATOM.match(self.data, self.at)
        if not m:
            self.fail('expected a value')
        self.at = m.end()
        word = m.group(0)
        if word.isdigit():
            if word != b'0' and word[:1] == b'0':
                self.fail('leading zero')
            return int(word)
        return None if word.upper() == b'NIL' else Atom(word.decode('ascii'))

    def code(self):
        """resp-text: (CODE, arguments or None, text)."""
        if self.peek() != b'[':
            return None, None, self.data[self.at:]
        self.at += 1
        m = re.compile(rb'[A-Z][A-Z0-9.-]*').match(self.data, self.at)
        if not m:
            self.fail('bad response code')
        self.at, args = m.end(), []
        while self.peek() == b' ':
            self.at += 1
            n = re.compile(rb'[^\x00-\x20\]()"{\x7f-\xff]+').match(self.data, self.at)
            if n:
                self.at = n.end()
                args.append(int(n.group(0)) if n.group(0).isdigit() else Atom(n.group(0).decode()))
            else:
                args.append(self.value())
        if self.peek() != b']':
            self.fail('unclosed response code')
        self.at += 1
        if not self.ended():
            self.space()
        return m.group(0).decode(), args, self.data[self.at:]

    def all(self):
        out = [self.value()]
        while not self.ended():
            self.space()
            out.append(self.value())
        return out


STATES = (b'OK', b'NO', b'BAD', b'BYE', b'PREAUTH')


def parse_response(line, utf8):
    """('tagged', tag, status, code, args, text), ('state', status, code, args, text), ('data', values), ('go on', text)."""
    tag, _, rest = line.partition(b' ')
    if tag == b'+':
        return 'go on', rest
    word = rest.split(b' ', 1)[0]
    if word in STATES:
        p = Parser(rest, utf8)
        p.at = len(word)
        p.space()
        code = p.code()
        if re.search(rb'[\x00\r\n]', rest) or not code[2] and code[0] is None:
            p.fail('bad text')
        if tag == b'*':
            return ('state', word.decode()) + code
        return ('tagged', tag.decode(), word.decode()) + code
    if tag != b'*':
        raise Violation('neither tagged nor untagged: %r' % line[:200], 'RFC 9051 section 9')
    return 'data', Parser(rest, utf8).all()


def numbers_of(what, most=None):
    """A sequence-set without "*", as a list in its order."""
    out = []
    for part in str(what).split(','):
        m = re.fullmatch(r'([1-9]\d*)(?::([1-9]\d*))?', part)
        if not m:
            raise Violation('not a set: %r' % what, 'RFC 9051 section 9')
        first, last = int(m.group(1)), int(m.group(2) or m.group(1))
        if most is not None and abs(last - first) > most:
            raise Violation('a set that is far too large: %r' % what, 'RFC 7162 section 3.2.10')
        out += range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return out


def set_of(numbers):
    out, run = [], []
    for n in sorted(set(numbers)) + [None]:
        if run and n != run[-1] + 1:
            out.append('%d' % run[0] if len(run) == 1 else '%d:%d' % (run[0], run[-1]))
            run = []
        run.append(n)
    return ','.join(out)


class Literal:
    def __init__(self, data, eight=False):
        self.data, self.eight = data, eight


class Wire:
    """A connection to a process of the server's own."""

    def __init__(self, argv, log, timeout):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=log)
        theirs.close()
        self.sock, self.log, self.timeout = ours, log, timeout
        self.input, self.inflate, self.deflate = b'', None, None
        self.recent = collections.deque(maxlen=50)
        self.received = 0
        self.utf8 = False
        ours.settimeout(timeout)

    def note(self, who, data):
        text = '%.3f %s %s' % (time.monotonic() % 10000, who, data[:600].decode('utf-8', 'backslashreplace'))
        self.recent.append(text)
        self.log.write((text + '\n').encode())

    def fill(self):
        try:
            got = self.sock.recv(1 << 16)
        except socket.timeout:
            raise Violation('no answer in %d s' % self.timeout, 'RFC 9051 section 2.2.2') from None
        except OSError as e:
            raise Gone(str(e)) from None
        if not got:
            raise Gone('end of the connection')
        self.received += len(got)
        self.input += self.inflate.decompress(got) if self.inflate else got

    def pending(self, seconds):
        """Has the server more to say within so many seconds?"""
        if b'\n' in self.input:
            return True
        self.sock.settimeout(seconds)
        try:
            got = self.sock.recv(1 << 16)
        except (socket.timeout, BlockingIOError):
            return False
        except OSError as e:
            raise Gone(str(e)) from None
        finally:
            self.sock.settimeout(self.timeout)
        if not got:
            raise Gone('end of the connection')
        self.received += len(got)
        self.input += self.inflate.decompress(got) if self.inflate else got
        return bool(self.input)

    def response(self):
        out = b''
        while True:
            while b'\n' not in self.input:
                self.fill()
            line, self.input = self.input.split(b'\n', 1)
            if not line.endswith(b'\r') or b'\r' in line[:-1]:
                raise Violation('line that does not end in CRLF: %r' % line[-80:], 'RFC 9051 section 2.2')
            out += line[:-1]
            m = re.search(rb'\{(\d+)\}$', out)
            if not m or re.match(rb'(\*|\w+) (OK|NO|BAD|BYE|PREAUTH) ', out):
                break
            size = int(m.group(1))
            while len(self.input) < size:
                self.fill()
            out, self.input = out + b'\r\n' + self.input[:size], self.input[size:]
        self.note('S', out)
        return parse_response(out, self.utf8)

    def send(self, data):
        self.note('C', data.rstrip(b'\r\n'))
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone(str(e)) from None

    def compress(self):
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.inflate = zlib.decompressobj(-15)
        self.input = self.inflate.decompress(self.input) if self.input else b''

    def end(self, kill=False):
        if kill:
            self.process.kill()
        self.sock.close()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return 'not ended 20 s after the connection'
