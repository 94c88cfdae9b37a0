"""What tracker.test holds to be true: each message by UID with its token, who may have changed which flag when, who may have
removed it, which mod-sequences were told. The sessions run at the same time, so an observation is right if some serial order of
the commands allows it. Times are those of time.monotonic(); a command takes effect between its start and its end."""
import collections
import threading
import time

from tracker_wire import Violation

SYSTEM = ['\\Seen', '\\Answered', '\\Flagged', '\\Draft', '\\Deleted']
KEYWORDS = ['work', 'later', '$Forwarded']
FLAGS = SYSTEM + KEYWORDS
NEVER = float('inf')
UNKNOWN = 'made by somebody'


class Op:
    """A command that changes something. sure: it has done it all; else it may have done any part of it."""

    def __init__(self, kind, who, **more):
        self.kind, self.who, self.start, self.end, self.sure = kind, who, time.monotonic(), NEVER, False
        self.__dict__.update(more)

    def __repr__(self):
        return '%s by %s from %.3f to %.3f%s' % (self.kind, self.who, self.start % 10000, self.end % 10000, '' if self.sure else ' (unsure)')


class Message:
    def __init__(self, token, made):
        self.token, self.made, self.gone, self.modseq = token, made, None, 0
        self.known = time.monotonic()                # when somebody was first told of it
        self.changes = collections.defaultdict(list)  # flag: (op, values that it may have set)
        self.flags_at = {}                           # mod-sequence: flags
        self.conditional = []                        # UNCHANGEDSINCE of stores that succeeded and changed a flag
        self.told = {}                               # mod-sequence: when first told


class Box:
    """A mailbox with one UIDVALIDITY."""

    def __init__(self):
        self.messages, self.removals, self.highest = {}, [], (0, 0)


class Model:
    def __init__(self):
        self.lock = threading.RLock()
        self.boxes = collections.defaultdict(Box)    # (name, validity)
        self.unsure = set()                          # mailboxes to which a killed session may have added messages that were taken back
        self.count = collections.Counter()

    # ---- who did what

    def op(self, kind, who, **more):
        with self.lock:
            return Op(kind, who, **more)

    def done(self, op, sure, grace=0.0):
        with self.lock:
            op.end, op.sure = time.monotonic() + grace, sure

    def lost(self, op, box):
        """The session ended within it: what it began may be finished, or taken back, by others a little later."""
        self.done(op, False, 5.0)
        with self.lock:
            self.unsure.add(box)

    def store(self, op, key, uids, values):
        """op sets values {flag: bool} on uids: register before it is sent."""
        with self.lock:
            op.targets = [(key, uid) for uid in uids]
            for uid in uids:
                m = self.boxes[key].messages.get(uid)
                if m is not None:
                    for flag, value in values.items():
                        m.changes[flag].append((op, {value}))
                        self.prune(m.changes[flag])

    def not_stored(self, op, key, uids):
        """The command has not touched these after all (MODIFIED)."""
        with self.lock:
            for uid in uids:
                m = self.boxes[key].messages.get(uid)
                if m is not None:
                    for flag in m.changes:
                        m.changes[flag] = [c for c in m.changes[flag] if c[0] is not op]

    def unsure_of(self, op, key, uids):
        """The command was done, but perhaps not on these (already gone from the mailbox, or only asked for)."""
        with self.lock:
            twin = Op(op.kind, op.who)
            twin.start, twin.end = op.start, time.monotonic()
            for uid in uids:
                m = self.boxes[key].messages.get(uid)
                if m is not None:
                    for flag in m.changes:
                        m.changes[flag] = [(twin, v) if o is op else (o, v) for o, v in m.changes[flag]]

    def prune(self, changes):
        now = time.monotonic()
        if len(changes) > 16:
            done = max((o.start for o, v in changes if o.sure and o.end < now - 60), default=0)
            changes[:] = [c for c in changes if c[0].end > done]

    def removal(self, op, key, uids=None, needs_deleted=True):
        with self.lock:
            op.uids, op.needs_deleted = None if uids is None else set(uids), needs_deleted
            self.boxes[key].removals.append(op)

    def removable(self, key, uid):
        """May somebody have removed it by now?"""
        m = self.boxes[key].messages.get(uid)
        for op in self.boxes[key].removals:
            if op.uids is not None and uid not in op.uids:
                continue
            if m is not None and op.end < m.made.start:
                continue
            if not op.needs_deleted or m is None or True in self.possible(m, '\\Deleted', op.start, op.end):
                return True
        return False

    # ---- what may be

    def possible(self, m, flag, since, until):
        """The values that flag may have had at some time in between."""
        changes = m.changes[flag]
        sure = max((o.start for o, v in changes if o.sure and o.end <= since), default=0)
        return set().union(*(v for o, v in changes if o.start <= until and o.end >= sure), set())

    def make(self, key, uid, token, op, flags):
        """A message came to be: flags {flag: set of possible values}."""
        with self.lock:
            box = self.boxes[key]
            m = box.messages.get(uid)
            if m is not None:
                if m.token != token:
                    raise Violation('%s UID %d is %s and %s' % (key[0], uid, m.token, token), 'RFC 9051 section 2.3.1.1')
                if op is not None and m.made.kind == UNKNOWN:
                    for flag in FLAGS:               # seen by somebody before its maker was told its UID
                        m.changes[flag] = [(op, flags.get(flag, {False}))] + [c for c in m.changes[flag] if c[0] is not m.made]
                    m.made = op
                return m
            m = box.messages[uid] = Message(token, op)
            for flag in FLAGS:
                m.changes[flag].append((op, flags.get(flag, {False})))
            self.count['messages'] += 1
            return m

    def seen(self, key, uid, token, who):
        """Somebody fetched it: known or not, its token is what it was."""
        with self.lock:
            if uid in self.boxes[key].messages:
                return self.make(key, uid, token, None, {})
            # Who made it is not known here (its UID was not told yet): every flag may have any value until a store is sure.
            op = Op(UNKNOWN, who)
            op.start, op.end = 0.0, time.monotonic()
            return self.make(key, uid, token, op, {f: {True, False} for f in FLAGS})

    def copied(self, op, source, uids, target, new):
        with self.lock:
            for a, b in zip(uids, new):
                m = self.boxes[source].messages.get(a)
                if m is None:
                    continue
                known = self.boxes[target].messages.get(b)
                if known is not None and known.token != m.token:
                    raise Violation('COPYUID: %s UID %d (%s) became %s UID %d, which is %s'
                                    % (source[0], a, m.token, target[0], b, known.token), 'RFC 4315 section 3')
                self.make(target, b, m.token, op, {f: set(self.possible(m, f, op.start, time.monotonic())) for f in FLAGS})

    # ---- what was told

    def told_flags(self, key, uid, flags, since, who, section):
        m = self.boxes[key].messages.get(uid)
        if m is None:
            return
        if since < time.monotonic() - 50:
            return                                   # older than what is kept
        for f in FLAGS:
            may = self.possible(m, f, since, time.monotonic())
            if (f.lower() in flags) not in may:
                history = '; '.join('%s -> %s' % (o, sorted(v)) for o, v in m.changes[f][-6:])
                raise Violation('%s was told that %s UID %d (%s) %s %s since %.3f, but: %s' % (who, key[0], uid, m.token, 'has' if f.lower()
                                in flags else 'has not', f, since % 10000, history), section)
        self.count['flags checked'] += 1

    def told_modseq(self, key, uid, modseq, flags, who):
        """flags: None if they were not told beside it."""
        box = self.boxes[key]
        m = box.messages.get(uid)
        now = time.monotonic()
        if modseq > box.highest[0]:
            box.highest = (modseq, now)
        if m is None:
            return
        m.modseq = max(m.modseq, modseq)
        m.told.setdefault(modseq, now)
        if flags is not None:
            flags = frozenset(flags) - {'\\recent'}
            if m.flags_at.setdefault(modseq, flags) != flags:
                raise Violation('%s: %s UID %d has at MODSEQ %d the flags %s, another session was told %s' % (who, key[0], uid, modseq,
                                sorted(flags), sorted(m.flags_at[modseq])), 'RFC 7162 section 3.1')
        self.count['MODSEQ checked'] += 1

    def told_conditional(self, key, uid, unchanged, real, start):
        """A STORE (UNCHANGEDSINCE) succeeded; real: it changed a flag."""
        with self.lock:
            m = self.boxes[key].messages.get(uid)
            if m is None:
                return
            newer = [x for x, t in m.told.items() if x > unchanged and t < start]
            if newer:
                raise Violation('%s UID %d: STORE (UNCHANGEDSINCE %d) succeeded, although it had MODSEQ %d'
                                % (key[0], uid, unchanged, newer[0]), 'RFC 7162 section 3.1.3')
            if real and unchanged in m.conditional:
                raise Violation('%s UID %d: two STORE (UNCHANGEDSINCE %d) changed flags' % (key[0], uid, unchanged), 'RFC 7162 section 3.1.3')
            if real:
                m.conditional.append(unchanged)

    def told_gone(self, key, uid, who, section):
        with self.lock:
            m = self.boxes[key].messages.get(uid)
            if not self.removable(key, uid) and (m is not None or key[0] not in self.unsure):
                raise Violation('%s was told that %s UID %d (%s) is gone, but nobody removed it' % (who, key[0], uid, m and m.token), section)
            if m is not None and m.gone is None:
                m.gone = time.monotonic()

    def missing(self, key, uids, before):
        """UIDs that a session which was told everything up to `before` does not have, and must have."""
        have = set(uids)
        return [uid for uid, m in self.boxes[key].messages.items()
                if uid not in have and m.made.end < before and m.known < before and m.gone is None and not self.removable(key, uid)]

    def stale(self, key, uids, before):
        """UIDs that it has, although they were told to be gone before."""
        messages = self.boxes[key].messages
        return [u for u in uids if u in messages and messages[u].gone is not None and messages[u].gone < before]
