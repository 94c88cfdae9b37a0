"""What crash.test and faults.test share: mailboxes, scripted sessions under tests/faultrun, and the judge, who knows which states
of all mailboxes may be seen after a session that came so far.

A scenario is a list of commands. Run without faults, but only to the kth command, it gives the state S(k): all mailboxes
as a fresh session sees them. A session that was ended while command k+1 was on its way must leave S(k) or S(k+1): so each
command is there whole or not at all, what was answered OK is there, and nothing else has changed by an octet."""
import atexit
import concurrent.futures
import fcntl
import hashlib
import json
import mailbox
import multiprocessing
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['SRCDIR'], 'tests', 'lib'))
from imapwire import Client, Home, Wrong

UID = Home.UID if os.getuid() == 0 else os.getuid()
SESSION_LIMIT = 60
SYNC_CALLS = ('fsync', 'fdatasync', 'sync_file_range', 'msync', 'syncfs')


class Violation(Exception):
    pass


class StaleSelect(Violation):
    """A SELECT told of messages which the next command says are gone. The rest is judged first."""

    def __init__(self, text, boxes, names):
        super().__init__(text)
        self.seen = boxes, names


# ---- programs and places ----------------------------------------------------------------------------------------------

class Tools:
    """The programs, where the user of the sessions can run them, and a fast directory to work in."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix='imapd-crash.', dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None)
        self.disk = tempfile.mkdtemp(prefix='imapd-crash.', dir=os.environ.get('TMPDIR', '/tmp'))
        for d in (self.top, self.disk):
            os.chmod(d, 0o755)
        atexit.register(self.remove, os.getpid())
        owner = os.getpid()          # the time limit: clean up too; a worker of a pool just ends
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1) if os.getpid() == owner else os._exit(1))
        self.imapd = self.take(os.environ.get('IMAPD_STEPS') or os.path.join(os.environ['BUILDDIR_PLAIN'], 'tests', 'imapd_steps'))
        self.faultrun = self.take(os.path.join(os.environ['BUILDDIR_PLAIN'], 'tests', 'faultrun'))
        self.config = os.path.join(self.disk, 'conf')
        with open(self.config, 'w') as f:
            f.write('inbox = %h/inbox\nlock-timeout = 1\n')
        os.chmod(self.config, 0o644)

    def take(self, program):
        to = os.path.join(self.disk, os.path.basename(program))
        shutil.copy(program, to)
        os.chmod(to, 0o755)
        return to

    def usable(self):
        out = subprocess.run([self.faultrun, '--root', '/', '--', 'true'], capture_output=True, text=True)
        return out.returncode == 0, (out.stdout + out.stderr).strip()

    def remove(self, owner):
        if os.getpid() != owner or os.environ.get('CRASH_KEEP'):
            return
        shutil.rmtree(self.top, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)

    def argv(self):
        return [self.imapd, '--config', self.config]

    def start(self, home, argv, as_user=True):
        """imapd, or imapd under faultrun; returns our end of its connection and the process."""
        ours, theirs = socket.socketpair()
        who = dict(user=UID, group=UID, extra_groups=[]) if as_user and os.getuid() == 0 else {}
        process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=open(os.environ.get("CRASH_STDERR", "/dev/null"), "a"),
                                   env={'HOME': home, 'PATH': '/usr/bin:/bin', 'TZ': 'UTC', 'ASAN_OPTIONS': 'detect_leaks=0'}, **who)
        theirs.close()
        ours.settimeout(SESSION_LIMIT)
        return ours, process


class Workers:
    """A process for each processor, by fork, so that they know all that is known here. One that dies is an error, not a wait."""

    def __enter__(self):
        self.pool = concurrent.futures.ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context('fork'))
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def each(self, function, jobs, _=1):
        for done in concurrent.futures.as_completed([self.pool.submit(function, job) for job in jobs]):
            yield done.result()


def own(path):
    if os.getuid() == 0:
        os.chown(path, UID, UID, follow_symlinks=False)


def copy_tree(source, to):
    """With owners and times; holes stay holes."""
    os.mkdir(to)
    for entry in os.scandir(source):
        there = os.path.join(to, entry.name)
        if entry.is_dir(follow_symlinks=False):
            copy_tree(entry.path, there)
        else:
            shutil.copyfile(entry.path, there, follow_symlinks=False)
            st = entry.stat(follow_symlinks=False)
            own(there)
            os.chmod(there, stat.S_IMODE(st.st_mode))
            os.utime(there, ns=(st.st_atime_ns, st.st_mtime_ns))
    own(to)


# ---- messages ---------------------------------------------------------------------------------------------------------

def message(n, size=300, extra=''):
    """One message, different from all others, as APPEND brings it; with lines that need quoting, 8-bit and blank ones."""
    lines = ['From: Sender %d <s%d@example.org>' % (n, n), 'Subject: message %d' % n, 'Message-ID: <%d@crash>' % n]
    lines += ([extra] if extra else []) + ['']
    i = 0
    while sum(map(len, lines)) < size:
        lines.append(['line %d of message %d' % (i, n), 'From here it looks like a separator', '>From there', '', 'caf\u00e9 %d' % i,
                      '.' * (i % 70), 'Status: RO'][(i + n) % 7])
        i += 1
    return '\r\n'.join(lines + ['end of %d' % n, '']).encode()


def quoted(octets):
    return re.sub(rb'(?m)^(>*From )', rb'>\1', octets)


def mbox_of(messages, crlf=False):
    """The octets of an mbox as a delivery agent writes it."""
    out = b''
    for i, m in enumerate(messages):
        out += b'From s@example.org Mon Jan  1 10:%02d:00 2024\n' % (i % 60) + quoted(m.replace(b'\r\n', b'\n')) + b'\n'
    return out.replace(b'\n', b'\r\n') if crlf else out


def write_file(path, octets):
    with open(path, 'wb') as f:
        f.write(octets)
    own(path)


def deliver(path, octets):
    """As a delivery agent that knows of dotlocks and appending alone, some time after the crash."""
    lock = path + '.lock'
    if os.path.exists(lock):
        os.unlink(lock)              # of a session that was killed long ago
    fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(path, 'ab') as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            f.write(b'From mda@example.org Tue Jan  2 11:00:00 2024\n' + quoted(octets.replace(b'\r\n', b'\n')) + b'\n')
    finally:
        os.close(fd)
        os.unlink(lock)


# ---- scripted sessions ------------------------------------------------------------------------------------------------

class Script:
    """A session that sends commands one by one. acked: how many were answered OK; refused: (index, the answer) of NO and BAD."""

    def __init__(self, sock):
        self.sock, self.data, self.acked, self.refused, self.over = sock, b'', 0, [], False
        self.hung, self.answers, self.prefix = False, [], b'k'

    def take(self, end):
        """Until the end of a line that begins so."""
        begin = len(self.data)
        while True:
            at = self.data.find(b'\r\n' + end, max(0, begin - len(end) - 4))
            if at < 0 and begin == 0 and self.data.startswith(end):
                at = -2
            if at >= 0 or at == -2:
                eol = self.data.find(b'\r\n', at + 2)
                if eol >= 0:
                    return self.data[at + 2:eol]
            try:
                got = self.sock.recv(1 << 18)
            except ConnectionError:
                got = b''
            except TimeoutError:
                self.hung = True
                got = b''
            if not got:
                self.over = True
                return None
            self.data += got

    def run(self, commands, stop_at_no=True):
        if not self.data:
            self.take(b'* ')
        for i, command in enumerate(commands):
            if self.over:
                return
            tag = b'%s%d' % (self.prefix, i)
            try:
                self.sock.sendall(tag + b' ' + command + b'\r\n')
            except OSError:
                pass                 # what it said before is still to be read
            answer = self.take(tag + b' ')
            self.answers.append(answer)
            if answer is None:
                return
            if answer.startswith(tag + b' OK'):
                self.acked += 1
            else:
                self.refused.append((i, answer))
                if stop_at_no:
                    return


def append(box, octets, flags='()'):
    return b'APPEND %s %s {%d+}\r\n%s' % (box.encode(), flags.encode(), len(octets), octets)


def finish(sock, process):
    sock.close()
    try:
        return process.wait(SESSION_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Violation('the session does not end')


def plain_session(tools, home, commands):
    sock, process = tools.start(home, tools.argv())
    script = Script(sock)
    script.run(commands)
    finish(sock, process)
    if script.refused or script.hung or script.acked < len(commands):
        raise Violation('a session without faults: %r after %d of %d, %r' % (script.refused, script.acked, len(commands),
                                                                            script.data[-300:]))
    return script


# ---- what is seen -----------------------------------------------------------------------------------------------------

class Box:
    def __init__(self, validity, uidnext, messages):
        self.validity, self.uidnext = validity, uidnext
        self.messages = messages                 # (uid, flags, octets)

    def content(self):
        return tuple((flags, octets) for _, flags, octets in self.messages)


def observe(tools, home):
    """All mailboxes as a fresh session sees them, the names of directories ("x/") and of subscriptions; and holds what the session
    leaves in the files against what Python's mailbox.mbox reads there."""
    sock, process = tools.start(home, tools.argv())
    client = Client.__new__(Client)
    client.timeout, client.process, client.sock, client.buffer, client.number = SESSION_LIMIT, process, sock, b'', 0
    client.exists = client.uids = None
    client.numbers_fixed = False
    boxes, stale = {}, []
    try:
        client.greeting = client.response()
        listed = [(n[-1].decode() if isinstance(n[-1], bytes) else str(n[-1]), [str(a).lower() for a in n[1]])
                  for n in client.ok('LIST "" "*"') if n[0] == 'LIST']
        names = [n for n, attributes in listed if '\\noselect' not in attributes]
        others = sorted(n + '/' for n, attributes in listed if '\\noselect' in attributes)
        for name in names:
            boxes[name] = observe_box(client, name, stale)
        subscribed = sorted(str(n[-1]) for n in client.ok('LSUB "" "*"') if n[0] == 'LSUB')
        client.ok('NOOP')
        client.ok('LOGOUT')
    except (Wrong, EOFError, OSError, ValueError) as e:
        process.kill()
        raise Violation('the session afterwards: %s: %s' % (type(e).__name__, e))
    finally:
        client.end()
    for name, box in boxes.items():
        compare_file(os.path.join(home, 'inbox' if name == 'INBOX' else name), name, box)
    if stale:
        raise StaleSelect('SELECT showed %s as it was before recovery, FETCH said NO' % ' '.join(stale), boxes, others + subscribed)
    return boxes, others + subscribed


def observe_box(client, name, stale):
    said = client.ok('SELECT "%s"' % name)
    codes = b' '.join(r[1] for r in said if r[0] == 'OK')
    validity, uidnext = (int(re.search(rb'\[%s (\d+)\]' % w, codes).group(1)) for w in (b'UIDVALIDITY', b'UIDNEXT'))
    messages = []
    try:
        fetched = client.fetch('FETCH 1:* (UID FLAGS BODY.PEEK[])') if client.exists else {}
    except Wrong as e:
        if 'EXPUNGEISSUED' not in str(e) or name in stale:
            raise
        stale.append(name)
        client.ok('UNSELECT')
        return observe_box(client, name, stale)
    for seq, pairs in sorted(fetched.items()):
        if seq != len(messages) + 1:
            raise Wrong('FETCH leaves out messages')
        flags = frozenset(str(f).lower() for f in pairs['FLAGS']) - {'\\recent'}
        messages.append((pairs['UID'], flags, pairs['BODY[]'] or b''))
    if len(messages) != (client.exists or 0):
        raise Wrong('FETCH leaves out messages')
    uids = [m[0] for m in messages]
    if uids != sorted(set(uids)) or (uids and uids[-1] >= uidnext):
        raise Wrong('%s: UIDs %s, UIDNEXT %d' % (name, uids, uidnext))
    client.ok('UNSELECT')
    return Box(validity, uidnext, messages)


HIDDEN = re.compile(rb'(?i)^(Status|X-Status|X-Keywords|X-UID|X-IMAPbase|X-IMAP|X-IMAPD-Stored):')


def compare_file(path, name, box):
    """The file, read by a program of others, says the same."""
    reader = mailbox.mbox(path, create=False)
    found = []
    for key in reader.keys():
        head, sep, body = reader.get_bytes(key).replace(b'\r\n', b'\n').partition(b'\n\n')
        lines = head.split(b'\n')
        if any(line.startswith(b'X-IMAP: ') for line in lines) and b'FOLDER INTERNAL DATA' in head:
            continue
        status = b''.join(line.split(b':')[1] for line in lines if re.match(rb'(X-)?Status:', line))
        kept = [line for i, line in enumerate(lines) if not HIDDEN.match(line)]
        kept = [re.sub(rb'^X-Escaped-', b'', line) for line in kept]
        text = re.sub(rb'(?m)^>(>*From )', rb'\1', b'\n'.join(kept) + sep + body)
        flags = {word for letter, word in zip(b'RAFDT', ('\\seen', '\\answered', '\\flagged', '\\deleted', '\\draft')) if letter in status}
        found.append((text.rstrip(b'\n'), flags))
    reader.close()
    want = [(octets.replace(b'\r\n', b'\n').rstrip(b'\n'), {f for f in flags if f.startswith('\\')}) for _, flags, octets in box.messages]
    if len(found) != len(want):
        raise Violation('%s: %d messages over IMAP, %d in the file' % (name, len(want), len(found)))
    for i, (a, b) in enumerate(zip(found, want)):
        if a[0] != b[0]:
            raise Violation('%s: message %d differs in the file: %r, %r over IMAP' % (name, i + 1, a[0][:160], b[0][:160]))
        if a[1] != b[1]:
            raise Violation('%s: message %d has %s in the file, %s over IMAP' % (name, i + 1, sorted(a[1]), sorted(b[1])))


def digest(home):
    """Of all that is on disk, but LMDB's reader table: which states of the disk were tried."""
    h = hashlib.blake2b(digest_size=12)
    for root, dirs, names in os.walk(home):
        dirs.sort()
        for name in sorted(names):
            if name == 'lock.mdb':
                continue
            h.update(re.sub(r'^\.lk.*\.', '.lk.', name).encode() + b'\0')
            if not name.startswith('.lk') and not name.endswith('.lock'):
                with open(os.path.join(root, name), 'rb') as f:
                    h.update(f.read())
    return h.digest()


# ---- the judge --------------------------------------------------------------------------------------------------------

class Told:
    """What clients were told about UIDs: it binds."""

    def __init__(self):
        self.validity, self.uidnext, self.octets = {}, {}, {}

    def state(self, boxes):
        for name, box in boxes.items():
            self.validity[name] = box.validity
            self.uidnext[name] = max(box.uidnext, self.uidnext.get(name, 0))
            for uid, _, octets in box.messages:
                self.octets[name, box.validity, uid] = octets
        return self

    def copy(self):
        out = Told()
        out.validity, out.uidnext, out.octets = dict(self.validity), dict(self.uidnext), dict(self.octets)
        return out

    def transcript(self, data):
        """The answers of SELECT alone; "SELECT name completed" is not said, so the caller names the mailbox in the order."""
        return [(int(v), int(n)) for v, n in re.findall(rb'\[UIDVALIDITY (\d+)\][^\r]*\r\n(?:\* [^\r]*\r\n)*?\* OK \[UIDNEXT (\d+)\]', data)]

    def learn(self, scenario, script):
        """From a session's own answers."""
        selects = [c.split(b' ', 1)[1].decode().strip('"') for c in scenario.commands if c.upper().startswith((b'SELECT', b'EXAMINE'))]
        for name, (validity, uidnext) in zip(selects, self.transcript(script.data)):
            self.validity[name] = validity
            self.uidnext[name] = max(uidnext, self.uidnext.get(name, 0))
        for command, answer in zip(scenario.commands, script.answers):
            m = answer and re.search(rb'\[APPENDUID (\d+) (\d+)\]', answer)
            if m:
                name = command.split(b' ')[1].decode()
                validity, uid = int(m.group(1)), int(m.group(2))
                self.validity[name] = validity
                self.uidnext[name] = max(uid + 1, self.uidnext.get(name, 0))
                if b'\r\n' in command:            # else by CATENATE, of what was there
                    self.octets[name, validity, uid] = command[command.index(b'\r\n') + 2:]

    def judge(self, boxes, renewed, fresh):
        """renewed: names that may have come to mean another mailbox; fresh: {name: octets of messages that are new}."""
        for name, box in boxes.items():
            if name in renewed:
                continue
            if name in self.validity and self.validity[name] != box.validity:
                raise Violation('%s: UIDVALIDITY %d was told, now %d' % (name, self.validity[name], box.validity))
            if box.uidnext < self.uidnext.get(name, 0):
                raise Violation('%s: UIDNEXT %d was told, now %d' % (name, self.uidnext[name], box.uidnext))
            by_octets = {o: uid for (n, v, uid), o in self.octets.items() if n == name and v == box.validity}
            for uid, _, octets in box.messages:
                known = self.octets.get((name, box.validity, uid))
                if known is not None and known != octets:
                    raise Violation('%s: UID %d was another message' % (name, uid))
                if octets in by_octets and by_octets[octets] != uid:
                    raise Violation('%s: a message had UID %d, now %d' % (name, by_octets[octets], uid))
                if octets in fresh.get(name, ()) and octets not in by_octets and uid < self.uidnext.get(name, 0):
                    raise Violation('%s: a new message has UID %d, below UIDNEXT %d that was told' % (name, uid, self.uidnext[name]))


def describe(content):
    return ' '.join('%s%s' % (re.search(rb'Subject: (?:message )?(\S+)', o).group(1).decode() if b'Subject: ' in o else repr(o[:20]),
                              '(' + ','.join(sorted(f.strip('\\')[:4] for f in flags)) + ')' if flags else '') for flags, o in content)


def explain(boxes, states):
    """How what is seen differs from the nearest state."""
    seen = {n: b.content() for n, b in boxes.items()}
    out = []
    for k, state in states:
        for name in sorted(set(seen) | set(state)):
            a, b = seen.get(name), state.get(name)
            if a != b:
                out.append('S(%d) %s: expected [%s], seen [%s]' % (k, name, 'none' if b is None else describe(b), 'none' if a is None else describe(a)))
                if a is not None and b is not None and describe(a) == describe(b):
                    for (_, x), (_, y) in zip(a, b):
                        if x != y:
                            i = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), min(len(x), len(y)))
                            out.append('   octets differ at %d of %d/%d: %r, expected %r' % (i, len(x), len(y), x[i:i + 60], y[i:i + 60]))
    return '; '.join(out)


# ---- scenarios --------------------------------------------------------------------------------------------------------

PASSIVE = (b'SELECT', b'CHECK', b'FETCH', b'NOOP', b'LOGOUT', b'UNSELECT')


class Scenario:
    """files: {name below the home: octets}; prelude: commands of an earlier session, whose index and UIDs are there; commands:
    those of the session that is ended; deliver: mailboxes that get mail afterwards; warm: the index fits the files as they
    are, else it has to be brought up to date first; renewed: names that are made anew; disk: not in memory (blocks can be taken
    out of a file there); between: f(state), another state that a kill may leave, of a command that is made of two."""

    def __init__(self, name, files, commands, prelude=(), deliver=('inbox',), warm=True, renewed=(), disk=False,
                 between=None):
        self.between = between
        self.name, self.files, self.deliver, self.warm, self.renewed, self.disk = name, files, deliver, warm, renewed, disk
        self.commands = [c if isinstance(c, bytes) else c.encode() for c in commands] + [b'LOGOUT']
        self.prelude = [c if isinstance(c, bytes) else c.encode() for c in prelude]
        self.states, self.told, self.base, self.calls = None, Told(), None, None

    def prepare(self, tools):
        """The base from which each run is copied, and S(0) ... S(n)."""
        top = tools.disk if self.disk else tools.top
        self.base = os.path.join(top, 'base.' + self.name)
        os.mkdir(self.base)
        own(self.base)
        for name, octets in self.files.items():
            os.makedirs(os.path.dirname(os.path.join(self.base, name)), exist_ok=True)
            own(os.path.dirname(os.path.join(self.base, name)))
            write_file(os.path.join(self.base, name), octets)
        if self.prelude:
            plain_session(tools, self.base, self.prelude + [b'LOGOUT'])
        self.states = []
        for k in range(len(self.commands) + 1):
            if k > 0 and self.commands[k - 1].upper().startswith(PASSIVE):
                self.states.append(self.states[-1])
                continue
            home = self.fresh(tools, 'golden')
            if k > 0:
                plain_session(tools, home, self.commands[:k])
            boxes, subscribed = observe(tools, home)
            if k == 0 and self.prelude:
                known = [c.split(b' ')[1].decode() for c in self.prelude if c.startswith(b'SELECT')]
                self.told.state({n: b for n, b in boxes.items() if n in known})
            self.states.append(({n: b.content() for n, b in boxes.items()}, subscribed))
            shutil.rmtree(home)
        for a, b, command in zip(self.states, self.states[1:], self.commands):
            if not command.upper().startswith(PASSIVE) and a == b:
                raise Violation('%s: %r changes nothing' % (self.name, command[:60]))

    def fresh(self, tools, name):
        """A copy of the base."""
        home = os.path.join(tools.disk if self.disk else tools.top, '%s.%s.%d' % (self.name.replace('/', '_'), name, os.getpid()))
        shutil.rmtree(home, ignore_errors=True)
        copy_tree(self.base, home)
        if self.warm:
            plain_session(tools, home, [b'SELECT "%s"' % n.encode() for n in self.box_names()] + [b'LOGOUT'])
        return home

    def box_names(self):
        return ['INBOX' if n == 'inbox' else n for n in sorted(self.files)]

    def traced(self, tools, home, options):
        """The session under faultrun; what it said, its status and faultrun's report."""
        report = os.path.join(tools.disk, 'report.%d' % os.getpid())
        who = ['--uid', str(UID)] if os.getuid() == 0 else []
        sock, process = tools.start(home, [tools.faultrun, '--root', home, '--report', report] + who + options + ['--'] + tools.argv(), False)
        script = Script(sock)
        script.run(self.commands, stop_at_no=False)
        status = finish(sock, process)
        if status == 98:
            raise Violation('faultrun failed')
        with open(report) as f:
            return script, status, json.load(f)

    def start_state(self, tools, name, delivery=None):
        """A home to begin with, and which states (indices) and deliveries are to be expected if the session does nothing."""
        return self.fresh(tools, name), [0], []

    def record(self, tools, *options):
        """All calls of a run without faults, in order, replies too."""
        home, _, _ = self.start_state(tools, 'record')
        path = os.path.join(tools.disk, 'record.%d' % os.getpid())
        script, status, _ = self.traced(tools, home, ['--record', path, *options])
        if status != 0 or script.acked != len(self.commands):
            raise Violation('%s: the run that is recorded: status %d, %r' % (self.name, status, script.answers))
        shutil.rmtree(home)
        with open(path) as f:
            return [json.loads(line) for line in f]


class Recovery(Scenario):
    """A session that comes after another scenario's was ended at one of its calls, and is ended itself."""

    def __init__(self, parent, at, mode):
        names = parent.box_names()
        super().__init__('%s@%d@%s' % (parent.name, at, mode), parent.files,
                         [c for n in names for c in ('SELECT "%s"' % n, 'FETCH 1:* (UID FLAGS)')], deliver=parent.deliver,
                         renewed=parent.renewed, disk=parent.disk)
        self.parent, self.at, self.mode = parent, at, mode
        self.states, self.told = parent.states, parent.told

    def prepare(self, tools):
        pass

    def start_state(self, tools, name, delivery=None):
        home = self.parent.fresh(tools, name)
        script, _, report = self.parent.traced(tools, home, ['--at', str(self.at), '--mode', self.mode])
        delivered = deliver_somewhere(self, home, 'between') if delivery == 'between' else []
        self.first = script
        return home, sorted({script.acked, min(script.acked + 1, len(self.parent.commands))}), delivered


def prepare_all(tools, all_of, names, options, problems):
    """Prepares these scenarios, in parallel, and records a run of each: {name: calls}."""
    recorded = {}
    with Workers() as pool:
        for name, made, problem in pool.each(prepare_one, [(tools, all_of[n], options) for n in names]):
            if problem:
                problems.append((name, problem))
                continue
            s = all_of[name]
            s.base, s.states, s.told, recorded[name] = made
    return recorded


def prepare_one(job):
    tools, s, options = job
    try:
        s.prepare(tools)
        return s.name, (s.base, s.states, s.told, s.record(tools, *options)), None
    except Violation as e:
        return s.name, None, str(e)


# ---- points -----------------------------------------------------------------------------------------------------------

def deliver_somewhere(scenario, home, tag):
    """Mail comes to the mailboxes of the scenario that are there; [(mailbox, octets)]."""
    out = []
    for i, name in enumerate(scenario.deliver):
        path = os.path.join(home, name)
        if os.path.exists(path):
            octets = message(9000 + i + (500 if tag == 'between' else 0), 200)
            deliver(path, octets)
            out.append(('INBOX' if name == 'inbox' else name, octets))
    return out


def scenario_of(all_of, name):
    """NAME, or NAME@AT@MODE: the recovery of one that was killed so."""
    parts = name.split('@')
    return all_of[name] if len(parts) == 1 else Recovery(all_of[parts[0]], int(parts[1]), parts[2])


def recoveries(tools, all_of, specs, options, problems):
    """Records recoveries: {name: calls}, in parallel."""
    with Workers() as pool:
        out = {}
        for name, calls, problem in pool.each(recovery_one, [(tools, all_of, n, options) for n in specs]):
            if problem:
                problems.append((name, problem))
            else:
                out[name] = calls
        return out


def recovery_one(job):
    tools, all_of, name, options = job
    try:
        return name, scenario_of(all_of, name).record(tools, *options), None
    except Violation as e:
        return name, None, str(e)


def mid_calls(calls):
    """Numbers of the calls that change a mailbox or the journal."""
    return [c['n'] for c in calls if c['n'] and c['call'] in ('pwrite64', 'write', 'writev', 'fallocate', 'ftruncate')
            and not c['path'].endswith('.mdb') and '/.lk' not in c['path']]


def with_delivered(state, delivered):
    boxes = dict(state[0])
    for name, octets in delivered:
        if name in boxes:
            boxes[name] = boxes[name] + ((frozenset(), octets),)
    return boxes, state[1]


def points_of(calls, torn):
    """All (n, mode) of a recorded run; torn: sizes, beside half, after which a write is cut."""
    out = []
    for c in calls:
        if c['call'] == 'reply' or c['n'] == 0:
            continue
        out += [(c['n'], 'kill-before'), (c['n'], 'kill-after')]
        if c['call'] in ('write', 'pwrite64', 'writev', 'pwritev') and c['off'] // 512 != (c['off'] + c['len'] - 1) // 512:
            cuts = {}
            for mode, keep in [('half', c['len'] // 2)] + [(str(t), t) for t in torn if t < c['len']]:
                cut = (c['off'] + keep) // 512 * 512 - c['off']
                if cut > 0:
                    cuts.setdefault(cut, 'torn=' + mode)
            out += [(c['n'], m) for m in cuts.values()]
    return out


def kill_and_judge(tools, scenario, n, mode, delivery, lose_index=False):
    """One point. Returns (digest of what was on disk, whether it was reached); raises Violation."""
    home, expected, delivered = scenario.start_state(tools, 'point', delivery)
    told = scenario.told.copy()
    script, status, report = scenario.traced(tools, home, ['--at', str(n), '--mode', mode])
    if script.hung:
        raise Violation('the session hangs')
    if script.refused:
        raise Violation('the session was refused %r' % (script.refused,))
    disk = digest(home)
    if not isinstance(scenario, Recovery):
        expected = sorted({script.acked, min(script.acked + 1, len(scenario.commands))})
        told.learn(scenario, script)
    else:
        told.learn(scenario.parent, scenario.first)
    if delivery == 'after':
        delivered = delivered + deliver_somewhere(scenario, home, 'after')
    stale = None
    try:
        boxes, subscribed = observe(tools, home)
    except StaleSelect as e:
        stale = e
        boxes, subscribed = e.seen
    seen = {name: b.content() for name, b in boxes.items()}
    allowed = [(k,) + with_delivered(scenario.states[k], delivered) for k in expected]
    if scenario.between:
        allowed += [(k,) + with_delivered(scenario.between(scenario.states[k]), delivered) for k in expected[:1]]
    if not any(seen == state and subscribed == subs for _, state, subs in allowed):
        raise Violation('after %d answered commands: %s' % (script.acked, explain(boxes, [a[:2] for a in allowed])
                                                            or 'directories and subscriptions %r' % subscribed))
    fresh = {}
    for name, octets in delivered:
        fresh.setdefault(name, set()).add(octets)
    told.judge(boxes, scenario.renewed, fresh)
    if lose_index:
        shutil.rmtree(os.path.join(home, '.imapd'))
        again, _ = observe(tools, home)
        if {name: b.content() for name, b in again.items()} != seen:
            raise Violation('without its index: ' + explain(again, [(expected[0], seen)]))
    shutil.rmtree(home)
    if stale is not None:
        raise stale
    return disk, report['fired']


# ---- calls that fail --------------------------------------------------------------------------------------------------

OPENS = ('open', 'openat', 'openat2', 'creat')
WRITES = ('write', 'pwrite64', 'writev', 'pwritev', 'pwritev2')
READS = ('read', 'pread64', 'preadv')
ROOM = WRITES + ('fallocate', 'copy_file_range', 'mkdir', 'mkdirat', 'link', 'linkat', 'symlink', 'symlinkat', 'rename', 'renameat', 'renameat2')
INTERRUPTIBLE = OPENS + WRITES + READS + ('fallocate', 'ftruncate', 'fsync', 'fdatasync')
CODES = {'ENOSPC': ('OVERQUOTA', 'LIMIT'), 'EDQUOT': ('OVERQUOTA', 'LIMIT'), 'EIO': ('UNAVAILABLE', 'SERVERBUG', 'CORRUPTION'),
         'EINTR': ('UNAVAILABLE', 'SERVERBUG'), 'EMFILE': ('UNAVAILABLE', 'LIMIT', 'SERVERBUG'), 'short': ('UNAVAILABLE', 'SERVERBUG')}


def faults_of(calls):
    """All (n, fault) of a run recorded with all calls counted; a fault is an errno's name or "short", with "+" if it stays."""
    out = []
    for c in calls:
        if c['call'] == 'reply' or c['n'] == 0:
            continue
        n, call = c['n'], c['call']
        out += [(n, 'EIO'), (n, 'EIO+')]
        if call in INTERRUPTIBLE:
            out.append((n, 'EINTR'))
        if call in OPENS:
            out += [(n, 'EMFILE'), (n, 'EMFILE+')]
        if call.startswith('mkdir') and c['ret'] < 0:
            pass                     # it is there
        elif (c['off'] + c['len'] > c['size_before'] if call in WRITES else call in ROOM and not c['flags'] & 10 if call == 'fallocate'
                else call in ROOM or (call in OPENS and c['flags'] & os.O_CREAT and c['size_before'] == 0 and c['size_after'] == 0)):
            out += [(n, 'ENOSPC'), (n, 'ENOSPC+'), (n, 'EDQUOT' + '+' * (n % 2))]
        if call in WRITES + READS and c['len'] > 1 and not (call in READS and c['path'].endswith('.mdb')):
            out.append((n, 'short'))
    return out


def without_flags(state):
    return {name: tuple((frozenset(), octets) for _, octets in messages) for name, messages in state.items()}


def fail_and_judge(tools, scenario, n, fault):
    """One point. Returns "OK", "NO" or "BYE" and whether it was reached; raises Violation."""
    home, expected, _ = scenario.start_state(tools, 'fault')
    told = scenario.told.copy()
    name, sticky = fault.rstrip('+'), fault.endswith('+')
    options = ['--faults', 'all', '--at', str(n), '--mode', 'short' if name == 'short' else 'errno=' + name] + ['--sticky'] * sticky
    report = os.path.join(tools.disk, 'report.%d' % os.getpid())
    who = ['--uid', str(UID)] if os.getuid() == 0 else []
    sock, process = tools.start(home, [tools.faultrun, '--root', home, '--report', report] + who + options + ['--'] + tools.argv(), False)
    script = Script(sock)
    script.run(scenario.commands[:-1])
    acked, refused, seen = script.acked, list(script.refused), None
    after = Script(sock)
    if not script.over:
        after.data, after.prefix = script.data, b'z'
        after.run([b'NOOP'] + ([] if sticky else [b'SELECT INBOX', b'FETCH 1:* (UID FLAGS)', b'NOOP']) + [b'LOGOUT'], stop_at_no=False)
    status = finish(sock, process)
    with open(report) as f:
        report = json.load(f)
    what = 'at %s of %s' % (report.get('call'), os.path.basename(report.get('path', '')))
    bye = script.over and script.acked == 0 and not script.answers[1:] and re.match(rb'\* BYE \[(UNAVAILABLE|SERVERBUG|OVERQUOTA|LIMIT)\]', script.data)
    if script.hung or after.hung:
        raise Violation('%s: the session hangs; %r' % (what, (script.data + after.data)[-200:]))
    if status != 0 and not bye:
        raise Violation('%s: the session ends with status %d, %r' % (what, status, script.data[-200:]))
    if not bye and (script.over or after.over):
        raise Violation('%s: the session is over: %r %r %r' % (what, script.data[-200:], after.data[-200:], after.answers))
    if not bye:
        judge_answers(what, name, refused, after, sticky, report)
    if not isinstance(scenario, Recovery):
        expected = [acked] if not refused else [acked, acked + 1]
    # else the index was in memory, and its UIDs with it; also where a new one got no room to grow
    persistent = os.path.exists(os.path.join(home, '.imapd', 'data.mdb')) and not (
        sticky and not scenario.warm and name in ('ENOSPC', 'EDQUOT') and report.get('path', '').endswith('data.mdb'))
    boxes, subscribed = observe(tools, home)
    content = {box: b.content() for box, b in boxes.items()}
    allowed = [(k,) + scenario.states[k] for k in expected]
    if scenario.between:
        allowed += [(k,) + scenario.between(scenario.states[k]) for k in expected[:1]]
    if fault in ('ENOSPC+', 'EDQUOT+') and any(b'[OVERQUOTA]' in answer for _, answer in refused):
        # the disk is full, the index perhaps in memory: STORE counts for the session, CHECK said that it could not be kept
        content, allowed = without_flags(content), [(k, without_flags(state), names) for k, state, names in allowed]
    if not any(content == state and subscribed == names for _, state, names in allowed):
        raise Violation('%s: %d commands OK, then %r: %s' % (what, acked, refused, explain(boxes, [a[:2] for a in allowed])
                                                            or 'directories and subscriptions %r' % subscribed))
    if persistent:
        told.learn(scenario.parent, scenario.first) if isinstance(scenario, Recovery) else told.learn(scenario, script)
        told.judge(boxes, scenario.renewed, {})
    shutil.rmtree(home)
    return 'BYE' if bye else 'NO' if refused else 'OK', report['fired']


def judge_answers(what, fault, refused, after, sticky, report):
    """A NO says why; the session is alive after it."""
    codes = CODES[fault]
    if (sticky and fault in ('EIO', 'EMFILE')) or report.get('path', '').endswith('.lock'):
        codes += ('INUSE',)          # a lock could not be given back, or not be seen to be stale
    for _, answer in refused:
        m = re.match(rb'k\d+ NO \[([A-Z]+)', answer)
        if not m or m.group(1).decode() not in codes:
            raise Violation('%s: %s was answered %r' % (what, fault, answer))
    dead = report.get('path', '').endswith('data.mdb')       # LMDB does not use an environment again after a failure to write it
    for _, answer in after.refused:
        m = re.match(rb'z\d+ (NO \[([A-Z]+)|BAD)', answer)
        if not sticky and not (dead and m and (m.group(2) or b'UNAVAILABLE').decode() in CODES['EIO']):
            raise Violation('%s: afterwards %r' % (what, after.refused))
    if not after.answers or not after.answers[-1].startswith(after.prefix + b'%d OK' % (len(after.answers) - 1)):
        raise Violation('%s: LOGOUT was answered %r' % (what, after.answers))
    if not after.answers[0].startswith(after.prefix + b'0 OK'):
        raise Violation('%s: NOOP was answered %r' % (what, after.answers[0]))
