"""The run of tracker.test: the clients in threads, the other programs, and the quiet moments at which everything is compared."""
import collections
import fcntl
import itertools
import mailbox
import os
import random
import re
import shutil
import threading
import time
import traceback

from tracker_actions import BOXES, Actions, message
from tracker_model import SYSTEM, Model
from tracker_search import check_contexts
from tracker_select import enable, learn, noop, select
from tracker_session import Gone, Session, Violation

LETTERS = {'R': '\\seen', 'A': '\\answered', 'F': '\\flagged', 'T': '\\draft', 'D': '\\deleted'}


class Run:
    """What all threads share."""

    def __init__(self, home, argv, seed, count, seconds, timeout=60):
        self.home, self.argv, self.seed, self.count, self.timeout = home, argv, seed, count, timeout
        self.model, self.problems, self.lock = Model(), [], threading.Lock()
        self.deadline = time.monotonic() + seconds
        self.stop, self.quiet = False, False
        self.barrier = threading.Barrier(count + 1)
        self.stats = collections.Counter()
        self.drop_all = False

    def path(self, box):
        return self.home.inbox if box == 'INBOX' else os.path.join(self.home.dir, box)

    def report(self, who, error, wire):
        with self.lock:
            text = '%s: %s\n' % (who, error)
            if not isinstance(error, Violation):
                text += ''.join(traceback.format_exception(error)[-6:])
            self.problems.append(text + ''.join('    %s\n' % x[:400] for x in (wire.recent if wire else [])))
        self.stop = True
        self.barrier.abort()


class Client(threading.Thread):
    """Sessions, one after another, of a client that keeps its caches."""

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.shared, self.number = run, number
        self.rng = random.Random('%d client %d' % (run.seed, number))
        self.log = open('client.%d.log' % number, 'wb', buffering=0)
        self.caches, self.s, self.actions = {}, None, None
        self.tokens = ('c%d.%d' % (number, i) for i in itertools.count(1))
        self.killing = False

    def run(self):
        run = self.shared
        try:
            while not run.stop:
                try:
                    self.open()
                    while not run.stop:
                        if run.quiet:
                            self.rest()
                            if run.drop_all:
                                self.lose(True)
                                break
                        self.step()
                    else:
                        self.close()
                except Gone:
                    if not self.killing:
                        raise Violation('the server ended the connection') from None
                    self.lose(False)
        except threading.BrokenBarrierError:
            pass
        except BaseException as e:
            run.report('client %d' % self.number, e, self.s and self.s.wire)

    def open(self):
        run, r = self.shared, self.rng
        self.killing = False
        self.s = s = Session('client %d' % self.number, run.argv, run.model, self.log, run.timeout)
        if 'COMPRESS=DEFLATE' in s.caps and r.random() < 0.3:
            s.command('COMPRESS DEFLATE')
            s.wire.compress()
        if 'QRESYNC' in s.caps and self.caches and r.random() < 0.8:
            enable(s, r, ['QRESYNC'] + [x for x in ('IMAP4REV2', 'UTF8=ACCEPT', 'UIDONLY') if r.random() < 0.25])
        else:
            enable(s, r)
        self.actions = Actions(s, r, self.tokens, self.caches)
        self.shared.stats['sessions'] += 1

    def step(self):
        run, r = self.shared, self.rng
        time.sleep(r.choice([0, 0, 0.01, 0.05]))
        if r.random() < 0.006:
            threading.Timer(r.random() * 0.1, self.kill, (self.s,)).start()
        self.actions.step()
        run.stats['steps'] += 1
        if r.random() < 0.003:
            self.lose(r.random() < 0.5)
            self.open()

    def kill(self, s):
        if s is self.s and not self.shared.quiet:
            self.killing = True
            s.wire.process.kill()

    def lose(self, orderly):
        """The connection is lost; what was known stays."""
        self.killing = True
        self.actions.remember()
        self.s.leave(kill=not orderly)
        self.shared.stats['lost connections'] += 1

    def close(self):
        self.s.command('LOGOUT')
        status = self.s.leave()
        if status != 0:
            raise Violation('imapd ended with status %s' % status)

    def rest(self):
        """All stop; then each asks for the news, until nothing can come any more."""
        run = self.shared
        run.barrier.wait()
        try:
            for _ in range(2):
                if self.s.key:
                    learn(self.s, self.rng)
                start = time.monotonic()
                noop(self.s)
                if self.s.key:
                    check_contexts(self.s, start)
        except Gone:
            if not self.killing:
                raise
            self.lose(False)
            self.open()
        run.barrier.wait()
        run.barrier.wait()


class Deliverer(threading.Thread):
    """A delivery agent that puts mail into INBOX, and sometimes a program that removes a message in place."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.shared, self.rng, self.made = run, random.Random('%d deliver' % run.seed), 0
        self.busy = threading.Lock()                 # held by what must not be disturbed

    def run(self):
        run = self.shared
        while not run.stop:
            time.sleep(self.rng.random() * 1.5)
            with self.busy:
                try:
                    if run.quiet or run.stop:
                        continue
                    if self.rng.random() < 0.7:
                        self.deliver()
                    else:
                        self.remove(self.rng.choice(BOXES))
                except Exception as e:
                    run.report('delivery', e, None)

    def locked(self, path):
        """The open file, locked as Debian's programs do, or None."""
        f = open(path, 'r+b')
        try:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(path + '.lock', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return f
        except OSError:
            f.close()
            return None

    def get(self, path):
        for _ in range(2000):
            f = self.locked(path)
            if f:
                return f
            time.sleep(0.01)
        raise Violation('no lock on %s in 20 s' % path, 'mbox')

    def deliver(self):
        path = self.shared.path('INBOX')
        self.made += 1
        text = re.sub(rb'^(>*From )', rb'>\1', message('d.%d' % self.made).replace(b'\r\n', b'\n'), flags=re.M)
        f = self.get(path)
        try:
            f.seek(0, 2)
            f.write(b'From sender@example.org ' + time.asctime().encode() + b'\n' + text + b'\n')
        finally:
            f.close()
            os.unlink(path + '.lock')
        self.shared.stats['deliveries'] += 1

    def remove(self, box):
        """As mutt does it: the file is written anew in place, without one of its messages."""
        model, path = self.shared.model, self.shared.path(box)
        f = self.get(path)
        try:
            data = f.read()
            starts = [m.start() for m in re.finditer(rb'^From \S+ +[A-Z][a-z][a-z] [A-Z]', data, re.M)] + [len(data)]
            parts = [data[a:b] for a, b in zip(starts, starts[1:])]
            found = [re.search(rb'^X-Tracker: (\S+)', p, re.M) for p in parts]
            count = collections.Counter(m.group(1).decode() for m in found if m)
            with model.lock:
                keys = [k for k in model.boxes if k and k[0] == box]
                may = []
                for i, m in enumerate(found):
                    token = m and m.group(1).decode()
                    uids = [(k, u) for k in keys for u, x in model.boxes[k].messages.items() if x.token == token and x.gone is None]
                    if token and count[token] == 1 and len(uids) == 1 and i:
                        may.append((i, uids[0]))
                if not may:
                    return
                i, (key, uid) = self.rng.choice(may)
                op = model.op('removal by another program', 'mutt')
                model.removal(op, key, [uid], needs_deleted=False)
            f.seek(starts[i])
            f.write(b''.join(parts[i + 1:]))
            f.truncate()
            f.flush()
            model.done(op, True)
            self.shared.stats['removals by another program'] += 1
        finally:
            f.close()
            os.unlink(path + '.lock')


# ---- quiet moments

def fresh_reading(run, box, log):
    """[(uid, flags, modseq)] as a new session sees the mailbox, its HIGHESTMODSEQ, and the session."""
    s = Session('fresh session', run.argv, run.model, log, run.timeout)
    select(s, random.Random(1), box, condstore='CONDSTORE' in s.caps)
    learn(s, random.Random(1))
    noop(s, 'CHECK')
    if any(m.uid is None for m in s.msgs):
        s.wrong('FETCH does not tell of all messages', 'RFC 9051 section 6.4.5')
    return s


def compare(run, clients, log):
    """Every picture against a fresh session's, and that against the file."""
    for box in BOXES:
        s = fresh_reading(run, box, log)
        now = [(m.uid, m.flags, m.modseq) for m in s.msgs]
        messages = run.model.boxes[s.key].messages
        try:
            for c in clients:
                if c.s.key != s.key:
                    if c.s.box == box:
                        raise Violation('%s: UIDVALIDITY %r, now %r' % (c.s.who, c.s.key, s.key), 'RFC 9051 section 2.3.1.1')
                    continue
                same_picture(c, s, now)
            missing = [u for u in run.model.missing(s.key, [m[0] for m in now], time.monotonic())]
            if missing:
                raise Violation('%s has lost UIDs %r' % (box, missing), 'RFC 9051 section 2.3.1.1')
            same_file(run, box, [(messages[u].token, flags) for u, flags, _ in now])
            if s.highest is not None and now and max(m or 0 for _, _, m in now) > s.highest:
                raise Violation('%s: HIGHESTMODSEQ %d is below a MODSEQ' % (box, s.highest), 'RFC 7162 section 3.1.2.1')
        except Violation as e:
            run.report('comparison of ' + box, e, next((c.s.wire for c in clients if c.s.who in str(e)), s.wire))
            return
        finally:
            s.command('LOGOUT')
            s.leave()
        run.stats['messages compared'] += len(now)
        run.stats['pictures compared'] += sum(c.s.key == s.key for c in clients)


def same_picture(c, s, now):
    have = [(m.uid, m.flags, m.modseq) for m in c.s.msgs]
    if [m[0] for m in have] != [m[0] for m in now]:
        raise Violation('%s: has UIDs %r, there are %r' % (c.s.who, [m[0] for m in have], [m[0] for m in now]), 'RFC 9051 section 5.2')
    for (uid, flags, modseq), (_, true_flags, true_modseq) in zip(have, now):
        if flags is not None and flags != true_flags:
            raise Violation('%s: UID %d has %r for it, but %r' % (c.s.who, uid, sorted(flags), sorted(true_flags)), 'RFC 9051 section 5.2')
        if c.s.cond and modseq is not None and true_modseq is not None and modseq != true_modseq:
            raise Violation('%s: UID %d has MODSEQ %d for it, but %d' % (c.s.who, uid, modseq, true_modseq), 'RFC 7162 section 3.1')
    if c.s.qresync and c.s.highest is not None and s.highest is not None and c.s.highest > s.highest:
        raise Violation('%s: HIGHESTMODSEQ %d, but it is %d' % (c.s.who, c.s.highest, s.highest), 'RFC 7162 section 3.1.2.1')


def same_file(run, box, want):
    there = mailbox.mbox(run.path(box), create=False)
    have = []
    for key in there.keys():
        m = there[key]
        if 'X-IMAP' in m and 'X-Tracker' not in m:
            continue
        flags = {LETTERS[x] for x in m.get('Status', '') + m.get('X-Status', '') if x in LETTERS}
        have.append((m['X-Tracker'], flags | set(m.get('X-Keywords', '').lower().split())))
    there.close()
    if [h[0] for h in have] != [w[0] for w in want]:
        raise Violation('%s: the file holds %r, the session saw %r' % (box, [h[0] for h in have], [w[0] for w in want]), 'mbox')
    for (token, flags), (_, wanted) in zip(have, want):
        if flags != wanted:
            raise Violation('%s: %s has %r in the file, %r in a session' % (box, token, sorted(flags), sorted(wanted)), 'mbox')


def hold(run, clients, deliverer, log, turn):
    """One quiet moment."""
    run.quiet = True
    run.barrier.wait()
    with deliverer.busy:
        run.barrier.wait()
        compare(run, clients, log)
        run.drop_all = turn % 3 == 2
        run.quiet = False
        if run.stop:
            run.barrier.abort()
        run.barrier.wait()
        run.stats['quiet moments'] += 1
    if run.drop_all:
        time.sleep(1.0)
        run.drop_all = False


def track(home, argv, seed, count, seconds, pause=8.0):
    """The whole run in the current directory; returns (problems, statistics)."""
    log = open('fresh.log', 'wb', buffering=0)
    run = Run(home, argv, seed, count, seconds)
    clients = [Client(run, i) for i in range(count)]
    deliverer = Deliverer(run)
    for t in clients + [deliverer]:
        t.start()
    turn = 0
    try:
        while not run.stop:
            end = min(run.deadline, time.monotonic() + pause)
            while time.monotonic() < end and not run.stop:
                time.sleep(0.05)
            if run.stop:
                break
            hold(run, clients, deliverer, log, turn)
            turn += 1
            if time.monotonic() >= run.deadline:
                run.stop = True
    except threading.BrokenBarrierError:
        pass
    except BaseException as e:
        run.report('coordinator', e, None)
    run.stop = True
    for t in clients + [deliverer]:
        t.join(run.timeout + 30)
    for c in clients:
        if c.s and c.s.wire.process.poll() is None:
            c.s.leave(kill=True)
    run.stats.update(run.model.count)
    return run.problems, run.stats


__all__ = ['SYSTEM', 'shutil', 'track']
