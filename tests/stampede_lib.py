"""What stampede.test is made of: messages that can be told from their names, and sessions that do random things and write down
what they did and saw. stampede_programs.py has the other programs; stampede_judge.py holds it all together."""
import collections
import os
import random
import re
import signal
import socket
import threading
import time

from imapwire import Client, Wrong

MAILBOXES = ['INBOX', 'work', 'stuff/old', 'archive']
FLAGS = ['\\Seen', '\\Answered', '\\Flagged', '\\Draft', 'work', '$Forwarded', 'later']
NAME = re.compile(rb'^X-Stampede: (\S+)\r?$', re.M)
WRITING = ['EXPUNGE', 'UID EXPUNGE', 'MOVE', 'UID MOVE', 'COPY', 'UID COPY', 'APPEND', 'CHECK', 'CLOSE', 'UNSELECT']
MANY = 250                       # a session that sees more messages than this removes some


def message(name):
    """The octets of the message of this name, with CRLF: always the same."""
    r = random.Random('message ' + name)
    lines = ['From: sender@example.org', 'Subject: stampede %s.' % name, 'X-Stampede: ' + name, 'Message-ID: <%s@example.org>' % name]
    if name[0] == 'a' and r.random() < 0.3:          # fields that a mailbox keeps for itself: only a client brings them unharmed
        lines += r.sample(['Status: RO', 'X-UID: 7', 'X-Keywords: forged', 'X-IMAPbase: 1 2', 'Content-Length: 5', 'X-Status: D'], 2)
    lines.append('')
    for _ in range(r.choice([1, 5, 20, 60]) if r.random() < 0.97 else 12000):
        lines.append(r.choice(['', 'From one of us', '>From another', '>>From deep', 'From a@b Mon Jan  1 00:00:00 2024', 'words ' * 9,
                               'h\xe9 \xff', '.', 'x' * r.randrange(200)]))
    lines.append('end of ' + name)
    return '\r\n'.join(lines).encode('latin-1') + b'\r\n'


def plain(octets):
    """Without the fields that mutt writes into the header of what it rewrites."""
    head, blank, body = octets.partition(b'\r\n\r\n')
    return re.sub(rb'^(Content-Length|Lines):.*\r\n', b'', head + b'\r\n', flags=re.M | re.I) + blank[2:] + body


def stored(name):
    """The same as a delivery agent writes it."""
    text = re.sub(rb'^(>*From )', rb'>\1', message(name).replace(b'\r\n', b'\n'), flags=re.M)
    return b'From sender@example.org ' + time.asctime().encode() + b'\n' + text + b'\n'


class Log:
    """What happened, in order of time: tuples (kind, begin, end, ...)."""

    def __init__(self, who):
        self.who, self.events, self.violations = who, [], []

    def add(self, kind, begin, *more):
        self.events.append((kind, begin, time.monotonic()) + more)

    def wrong(self, text):
        self.violations.append('%s: %s' % (self.who, text))


class Killed(Exception):
    pass


class Session(Client):
    """A client that knows what each UID is (names: shared with the sessions before it of the same worker)."""

    def __init__(self, argv, log, names, timeout):
        self.log, self.names, self.box, self.validity, self.killed, self.busy = log, names, None, None, False, threading.Event()
        self.recently = collections.deque(maxlen=int(os.environ.get('STAMPEDE_TRACE', '12')))
        self.longest = {}
        super().__init__(argv, timeout=timeout)

    def track(self, line):
        self.recently.append(line[:100])
        word = line.split(b' ', 3)
        if len(word) > 2 and word[2] == b'EXPUNGE' and self.uids and 1 <= int(word[1]) <= len(self.uids):
            uid = self.uids[int(word[1]) - 1]
            if uid is not None:
                self.log.add('gone', time.monotonic(), self.box, uid)
        if line.startswith(b'* BYE') and self.number and not self.leaving:
            raise Wrong('%r' % line)
        return super().track(line)

    leaving = lenient = False        # lenient: mutt may have added fields
    verb = ''

    def do(self, text, *literals, may=(), **more):
        """A command that must succeed, or say NO with one of the codes in may. (status, code, untagged)."""
        self.recently.append('C: ' + str(text)[:200])
        begin = time.monotonic()
        words = text.split()
        self.verb = verb = ' '.join(words[:2 if words[0] == 'UID' else 1])
        self.busy.set()
        try:
            status, said, untagged = self.command(text, *literals, **more)
        except (EOFError, ConnectionError, BrokenPipeError) as e:
            if self.killed:
                raise Killed()
            raise Wrong('the server ended: %s' % e)
        except socket.timeout:
            raise Wrong('no answer in %d s: %r' % (self.timeout, text[:100]))
        finally:
            self.busy.clear()
        self.longest[verb] = max(self.longest.get(verb, 0), time.monotonic() - begin)
        self.log.add('command', begin, verb)
        code = re.match(rb'\[([A-Z]+)([^\]]*)\]', said)
        found = (code.group(1).decode(), code.group(2).decode().strip()) if code else ('', '')
        if status != 'OK' and not (status == 'NO' and found[0] in may):
            raise Wrong('%r: %s %r' % (text[:200], status, said))
        return status, found, untagged

    # ---- the mailbox

    def select(self, box, verb='SELECT'):
        begin = time.monotonic()
        self.box = box
        _, _, untagged = self.do('%s %s' % (verb, box))
        codes = {}
        for r in untagged:
            got = re.match(rb'\* OK \[(\w+) (\d+)\]', r[1]) if isinstance(r[1], bytes) else None
            if got:
                codes[got.group(1).decode()] = int(got.group(2))
        self.validity = codes['UIDVALIDITY']
        self.writable = verb == 'SELECT'
        self.log.add('uidnext', begin, box, self.validity, codes['UIDNEXT'])
        self.uids = [None] * self.exists
        self.learn()

    def learn(self):
        """Finds out what the messages are that this view shows since the last time."""
        for _ in range(20):
            new = [i + 1 for i, u in enumerate(self.uids) if u is None or u not in self.names[self.box]]
            if not new:
                break
            begin = time.monotonic()
            status, _, untagged = self.do('FETCH %d:%d (UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (X-Stampede)])' % (new[0], new[-1]),
                                          may=['EXPUNGEISSUED'])
            for r in untagged:
                if len(r) > 3 and r[1] == 'FETCH' and 'RFC822.SIZE' in r[3]:
                    self.saw(begin, r[3])
            if status == 'NO':
                self.do('NOOP')
        known = [u for u in self.uids if u is not None]
        if any(a >= b for a, b in zip(known, known[1:])):
            raise Wrong('UIDs do not ascend: %r' % known)

    def saw(self, begin, pairs):
        uid = pairs['UID']
        name = NAME.search(pairs['BODY[HEADER.FIELDS (X-STAMPEDE)]'])
        if not name:
            raise Wrong('%s UID %d: no message of ours: %r' % (self.box, uid, pairs))
        name = name.group(1).decode()
        if self.names[self.box].setdefault(uid, name) != name:
            raise Wrong('%s UID %d was %s, is %s' % (self.box, uid, self.names[self.box][uid], name))
        self.log.add('see', begin, self.box, self.validity, uid, name, pairs['INTERNALDATE'])
        if pairs['RFC822.SIZE'] != len(message(name)) and not self.lenient:
            raise Wrong('%s has RFC822.SIZE %d, not %d' % (name, pairs['RFC822.SIZE'], len(message(name))))

    def check_octets(self, uid, got, want, what):
        if self.lenient:
            got, want = (plain(got), plain(want)) if what != 'part' else (b'', b'')
        if got != want:
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            raise Wrong('%s UID %d (%s) %s is changed at %d of %d/%d: %r, not %r' % (self.box, uid, self.names[self.box].get(uid), what, at,
                        len(got), len(want), got[max(0, at - 30):at + 60], want[max(0, at - 30):at + 60]))


class Worker:
    """Sessions, one after another, that do random things until the deadline."""

    def __init__(self, number, seed, argv, deadline, patience, kill_every=None, lenient=False):
        self.lenient = lenient
        self.number, self.argv, self.deadline, self.patience, self.kill_every = number, argv, deadline, patience, kill_every
        self.rng = random.Random('%d worker %d' % (seed, number))
        self.log = Log('session %d' % number)
        self.names = collections.defaultdict(dict)
        self.made = self.kills = self.commands = 0
        self.longest = {}
        self.c = None

    def run(self):
        if self.kill_every:
            threading.Thread(target=self.killer, daemon=True).start()
        while time.monotonic() < self.deadline and len(self.log.violations) < 20:
            try:
                self.c = Session(self.argv, self.log, self.names, self.patience)
                self.c.lenient = self.lenient
                self.c.select(self.rng.choice(MAILBOXES + ['INBOX'] * 4))
                while time.monotonic() < self.deadline:
                    self.step()
                self.c.killed = self.c.leaving = True       # not any more
                self.c.do('LOGOUT')
                self.c.end()
                if self.c.process.returncode != 0:
                    self.log.wrong('imapd ended with %s' % self.c.process.returncode)
            except Killed:
                self.c.end()
            except (EOFError, OSError) as e:
                if not (self.c and self.c.killed) and not self.kill_every:
                    self.log.wrong('%s: %s' % (type(e).__name__, e))
                if self.c:
                    self.c.end()
            except Exception as e:                     # Wrong, and our own mistakes, with what led to it
                before = '\n    '.join(map(str, self.c.recently if self.c else []))
                self.log.wrong('%s: %s (%s)\n    %s' % (type(e).__name__, e, self.c and self.c.box, before))
                if self.c and self.c.process:
                    self.c.process.kill()
                    self.c.end()
            finally:
                if self.c:
                    for verb, t in self.c.longest.items():
                        self.longest[verb] = max(t, self.longest.get(verb, 0))
        return self

    def killer(self):
        r = random.Random('kill %r' % self.rng.random())
        while True:
            time.sleep(r.expovariate(1 / self.kill_every))
            c = self.c
            if c is None or c.killed or not c.process:
                continue
            if r.random() < 0.9:                       # mostly within a command that changes the file
                end = time.monotonic() + 4
                while c.busy.wait(0.1) and c.verb not in WRITING and time.monotonic() < end and not c.killed:
                    time.sleep(0.0005)
                time.sleep(r.random() * r.choice([0.003, 0.01, 0.03, 0.1]))
            if time.monotonic() < self.deadline and not c.killed:
                c.killed = True
                self.kills += 1
                os.kill(c.process.pid, signal.SIGKILL)

    # ---- what a session does

    def step(self):
        c, r = self.c, self.rng
        time.sleep(r.choice([0, 0, 0.005, 0.03]))
        if None in c.uids or any(u not in self.names[c.box] for u in c.uids):
            c.learn()
        if c.exists > MANY and c.writable and r.random() < 0.3:
            return self.remove(r.randrange(20, 80))
        if c.box == 'stuff/old' and c.writable and r.random() < 0.1:
            return self.remove(10000)                  # empty mailboxes are special
        what = r.choices([self.fetch, self.flags, self.store, self.search, self.append, self.copy, self.move, self.expunge, self.idle,
                          self.select, self.status, self.noop], [20, 6, 14, 8, 5, 6, 5, 5, 2, 3, 3, 6])[0]
        what()

    def pick(self, most=1):
        """Some UIDs of the view whose names are known."""
        known = [u for u in self.c.uids if u is not None and u in self.names[self.c.box]]
        return sorted(self.rng.sample(known, min(len(known), self.rng.randrange(1, most + 1)))) if known else []

    def as_set(self, uids):
        """(command prefix, set) by UID or by number."""
        if self.rng.random() < 0.5:
            return 'UID ', ','.join(map(str, uids))
        return '', ','.join(str(self.c.uids.index(u) + 1) for u in uids)

    def noop(self):
        self.c.do(self.rng.choice(['NOOP', 'NOOP', 'CHECK']))

    def fetch(self):
        c, r = self.c, self.rng
        uids = self.pick(r.choice([1, 1, 4]))
        if not uids:
            return
        way = r.randrange(4)
        offset, size = r.randrange(300), r.randrange(1, 3000)
        items = ['BODY.PEEK[]', 'BODY[]', 'BODY.PEEK[HEADER] BODY.PEEK[TEXT]', 'BODY.PEEK[]<%d.%d>' % (offset, size)][way]
        prefix, numbers = self.as_set(uids)
        begin = time.monotonic()
        status = 'unknown'
        try:
            status, code, untagged = c.do('%sFETCH %s (UID RFC822.SIZE INTERNALDATE %s)' % (prefix, numbers, items), may=['EXPUNGEISSUED'])
        finally:
            if way == 1 and c.writable:
                c.log.add('store', begin, c.box, uids, '+', ['\\Seen'], status)
        got = [x[3] for x in untagged if len(x) > 3 and x[1] == 'FETCH' and 'RFC822.SIZE' in x[3]]
        for pairs in got:
            uid = pairs['UID']
            if uid not in uids:
                raise Wrong('asked for UIDs %r, got %d' % (uids, uid))
            name = self.names[c.box][uid]
            want = message(name)
            if way < 2:
                c.check_octets(uid, pairs['BODY[]'], want, 'BODY[]')
            elif way == 2:
                c.check_octets(uid, pairs['BODY[HEADER]'] + pairs['BODY[TEXT]'], want, 'HEADER + TEXT')
            else:
                c.check_octets(uid, pairs['BODY[]<%d>' % offset], want[offset:offset + size], 'part')
            c.log.add('see', begin, c.box, c.validity, uid, name, pairs['INTERNALDATE'])
        if status == 'OK' and code[0] != 'EXPUNGEISSUED' and len(got) != len(uids):
            raise Wrong('OK, but %d of %d messages' % (len(got), len(uids)))

    def flags(self):
        c = self.c
        if not c.exists:
            return
        first = self.rng.randrange(1, c.exists + 1)
        last = min(c.exists, first + self.rng.choice([0, 10, 1000]))
        c.do('FETCH %d:%d (UID FLAGS ENVELOPE)' % (first, last) if last - first < 20 else 'FETCH %d:%d (UID FLAGS)' % (first, last),
             may=['EXPUNGEISSUED'])

    def do_store(self, uids, sign, flags, silent=''):
        c = self.c
        prefix, numbers = self.as_set(uids)
        begin = time.monotonic()
        status = 'unknown'
        try:
            status, _, untagged = c.do('%sSTORE %s %sFLAGS%s (%s)' % (prefix, numbers, sign.strip('='), silent, ' '.join(flags)),
                                       may=['EXPUNGEISSUED'])
        finally:
            c.log.add('store', begin, c.box, uids, sign, flags, status)
        if not silent and not prefix and status == 'OK':
            told = {x[0] for x in untagged if len(x) > 3 and x[1] == 'FETCH'}
            if not {c.uids.index(u) + 1 for u in uids if u in c.uids} <= told:
                raise Wrong('STORE did not tell all: %r of %r' % (told, uids))

    def store(self):
        r = self.rng
        if not self.c.writable:
            return
        uids = self.pick(r.choice([1, 3, 10]))
        if uids:
            flags = r.sample(FLAGS, r.randrange(1, 3)) if r.random() < 0.85 else ['\\Deleted']
            self.do_store(uids, r.choice('++-=') if flags != ['\\Deleted'] else r.choice('++-'), flags, r.choice(['', '.SILENT']))

    def remove(self, n):
        """Some of the oldest and any others, so that the mailboxes do not grow without end."""
        c = self.c
        uids = self.pick(n)
        if uids:
            self.do_store(uids, '+', ['\\Deleted'], '.SILENT')
            self.expunge()

    def expunge(self):
        c, r = self.c, self.rng
        if not c.writable:
            return
        uids = self.pick(20) if r.random() < 0.3 else []
        begin = time.monotonic()
        status = 'unknown'
        try:
            status, _, _ = c.do('UID EXPUNGE ' + ','.join(map(str, uids)) if uids else 'EXPUNGE')
        finally:
            c.log.add('expunge', begin, c.box, uids, status)

    def append(self):
        c, r = self.c, self.rng
        box = r.choice(MAILBOXES)
        self.made += 1
        name = 'a%d-%d' % (self.number, self.made)
        flags = r.sample(FLAGS, r.randrange(3))
        begin = time.monotonic()
        status, code = 'unknown', ('', '')
        try:
            status, code, _ = c.do('APPEND %s (%s) {}' % (box, ' '.join(flags)), message(name))
        finally:
            validity, uid = map(int, code[1].split()) if code[0] == 'APPENDUID' else (None, None)
            c.log.add('append', begin, box, name, flags, status, validity, uid)
        if uid is None:
            raise Wrong('no APPENDUID')
        self.remember(box, uid, name)

    def remember(self, box, uid, name):
        if self.names[box].setdefault(uid, name) != name:
            raise Wrong('%s UID %d was %s, is said to be %s' % (box, uid, self.names[box][uid], name))

    def copy(self, verb='COPY'):
        c, r = self.c, self.rng
        uids = self.pick(r.choice([1, 1, 5]))
        box = r.choice(MAILBOXES)
        if not uids or (verb == 'MOVE' and (box == c.box or not c.writable)):
            return
        asked = [(u, self.names[c.box][u]) for u in uids]
        source = c.box
        prefix, numbers = self.as_set(uids)
        begin = time.monotonic()
        status, pairs, validity = 'unknown', None, None
        try:
            status, code, untagged = c.do('%s%s %s %s' % (prefix, verb, numbers, box), may=['EXPUNGEISSUED'])
            text = b'[%s %s]' % (code[0].encode(), code[1].encode()) if code[0] == 'COPYUID' else b' '.join(x[1] for x in untagged if x[0] == 'OK')
            said = re.search(rb'\[COPYUID (\d+) (\S+) (\S+)\]', text)
            if said:
                validity = int(said.group(1))
                pairs = list(zip(numbers_of(said.group(2)), numbers_of(said.group(3))))
        finally:
            c.log.add(verb.lower(), begin, source, asked, box, status, validity, pairs)
        for a, b in pairs or []:
            if a not in dict(asked):
                raise Wrong('COPYUID names %d, asked %r' % (a, uids))
            self.remember(box, b, dict(asked)[a])
        if pairs and len(said.group(2)) and len(numbers_of(said.group(2))) != len(numbers_of(said.group(3))):
            raise Wrong('COPYUID sets differ in length: %r' % said.group(0))

    def move(self):
        self.copy('MOVE')

    def search(self):
        """What is found is what this view has; what is missing must be gone."""
        c, r = self.c, self.rng
        if not c.exists or None in c.uids:
            return
        way = r.randrange(4)
        if way == 0:
            a, b = sorted((r.choice(c.uids), r.choice(c.uids)))
            key, want = 'UID %d:%d' % (a, b), {u for u in c.uids if a <= u <= b}
        elif way == 1:
            key, want = 'ALL', set(c.uids)
        elif way == 2:
            name = self.names[c.box][r.choice(c.uids)]
            key, want = 'HEADER X-Stampede "%s" SUBJECT "stampede %s."' % (name, name), {u for u in c.uids if self.names[c.box][u] == name}
        else:
            name = self.names[c.box][r.choice(c.uids)]
            key, want = 'BODY "end of %s"' % name, None
        uid = r.random() < 0.5
        before = list(c.uids)
        _, _, untagged = c.do(('UID SEARCH ' if uid else 'SEARCH ') + key)
        got = [x[1:] for x in untagged if x[0] == 'SEARCH']
        if len(got) != 1:
            raise Wrong('%d SEARCH responses' % len(got))
        if not uid and any(not 1 <= n <= len(before) for n in got[0]):
            raise Wrong('SEARCH found %r of %d' % (got[0], len(before)))
        found = set(got[0]) if uid else {before[n - 1] for n in got[0]}
        if want is None:
            want = {u for u in before if self.names[c.box][u].startswith(name)}
        if not found <= want:
            raise Wrong('SEARCH %s found %r beyond %r' % (key, sorted(found - want), sorted(want)))
        if want - found:
            c.do('NOOP')
            if any(u in c.uids for u in want - found):
                raise Wrong('SEARCH %s did not find %r, which are there' % (key, sorted(u for u in want - found if u in c.uids)))

    def idle(self):
        c, r = self.c, self.rng
        begin = time.monotonic()
        until = min(begin + r.random() * 3, self.deadline)
        c.recently.append('C: IDLE')
        c.number += 1
        tag = b't%d' % c.number
        c.numbers_fixed = False
        try:
            c.sock.sendall(tag + b' IDLE\r\n')
            line = c.line()
            while line.startswith(b'* '):
                c.track(line)
                line = c.line()
            if not line.startswith(b'+ '):
                raise Wrong('IDLE: %r' % line)
            began = time.monotonic()
            while time.monotonic() < until:
                c.sock.settimeout(max(0.01, until - time.monotonic()))
                try:
                    while b'\n' not in c.buffer:
                        c.fill()
                except socket.timeout:
                    break
                c.sock.settimeout(c.timeout)
                got = c.track(c.line())
                if len(got) > 1 and got[1] == 'EXISTS':
                    c.log.add('told', time.monotonic(), c.box)
            c.sock.settimeout(c.timeout)
            c.log.add('idle', began, c.box)
            c.sock.sendall(b'DONE\r\n')
            begin = time.monotonic()
            status, said, _ = c.until(tag)
            c.longest['DONE'] = max(c.longest.get('DONE', 0), time.monotonic() - begin)
            c.log.add('command', begin, 'IDLE')
        except (EOFError, ConnectionError, BrokenPipeError) as e:
            if c.killed:
                raise Killed()
            raise Wrong('the server ended in IDLE: %s' % e)
        except socket.timeout:
            raise Wrong('no answer to IDLE or DONE')
        if status != 'OK':
            raise Wrong('IDLE: %s %r' % (status, said))

    def select(self):
        c, r = self.c, self.rng
        how = r.randrange(4)
        if how == 0:
            begin = time.monotonic()
            status = 'unknown'
            try:
                status, _, _ = c.do('CLOSE')
            finally:
                if c.writable:
                    c.log.add('expunge', begin, c.box, [], status)
        elif how == 1:
            c.do('UNSELECT')
        c.select(r.choice(MAILBOXES + ['INBOX'] * 4), 'EXAMINE' if r.random() < 0.15 else 'SELECT')

    def status(self):
        c, r = self.c, self.rng
        box = r.choice(MAILBOXES)
        begin = time.monotonic()
        _, _, untagged = c.do('STATUS %s (MESSAGES UIDNEXT UIDVALIDITY)' % box)
        for x in untagged:
            if x[0] == 'STATUS':
                got = dict(zip(map(str, x[2][::2]), x[2][1::2]))
                c.log.add('uidnext', begin, box, got['UIDVALIDITY'], got['UIDNEXT'])


def numbers_of(text):
    out = []
    for part in text.split(b','):
        ends = [int(n) for n in part.split(b':')]
        out += range(min(ends), max(ends) + 1)
    return out
