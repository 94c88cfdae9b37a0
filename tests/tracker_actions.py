"""What the sessions of tracker.test do: random commands, each registered in the model and its answer checked."""
import os
import random
import re
import time

from tracker_model import FLAGS, SYSTEM
from tracker_search import check_contexts, context, search, use_saved
from tracker_select import close, learn, noop, select
from tracker_session import Literal
from tracker_wire import numbers_of, set_of

EMAILID = os.environ.get('TRACKER_EMAILID') == '1'
BOXES = ['INBOX', 'work', 'stuff/old']


def message(token):
    """The octets of a token's message: always the same."""
    r = random.Random('tracker ' + token)
    lines = ['From: sender@example.org', 'Subject: %s' % token, 'X-Tracker: ' + token, 'Message-ID: <%s@example.org>' % token, '']
    lines += [r.choice(['', 'From one of us', '>From another', 'words ' * 9, '.', 'x' * r.randrange(120)]) for _ in range(r.randrange(1, 12))]
    return ('\r\n'.join(lines + ['end of ' + token]) + '\r\n').encode()


class Actions:
    """One step at a time for a session s; tokens are its own."""

    def __init__(self, s, rng, tokens, caches):
        """tokens: an iterator of names that nobody else has; caches: {mailbox: Cache} of this client."""
        self.s, self.rng, self.tokens, self.caches = s, rng, tokens, caches

    # ---- helpers

    def pick(self, most=4):
        known = [u for u in self.s.uids() if u in self.s.model.boxes[self.s.key].messages]
        return sorted(self.rng.sample(known, min(len(known), self.rng.randrange(1, most + 1)))) if known else []

    def as_set(self, uids):
        if self.s.uidonly or self.rng.random() < 0.5:
            return 'UID ', set_of(uids)
        at = {m.uid: i + 1 for i, m in enumerate(self.s.msgs)}
        return '', set_of(at[u] for u in uids)

    def some_flags(self, deleted=0.3):
        flags = self.rng.sample([f for f in FLAGS if f != '\\Deleted'], self.rng.randrange(0, 4))
        return flags + (['\\Deleted'] if self.rng.random() < deleted else [])

    def token(self):
        return next(self.tokens)

    def remember(self):
        kept = self.s.keep()
        if kept:
            self.caches[self.s.box] = kept

    def must_have(self, r, uids, section):
        """The answer to a command tells of all of these that nobody may have removed."""
        told = {p['*'].uid for p in r.fetched if 'UID' in p or not r.verb.startswith('UID')}
        missing = [u for u in uids if u not in told and u not in r.vanished and not self.s.model.removable(self.s.key, u)]
        if r.ok() and missing:
            self.s.wrong('%s did not answer for UIDs %r' % (r.verb, missing), section)

    # ---- commands

    def step(self):
        s, r = self.s, self.rng
        if s.key is None:
            return self.select()
        learn(s, r)
        if len(s.msgs) > 60 and s.writable:
            return self.clear(20)
        what = r.choices([self.noop, self.flags, self.changed, self.body, self.store, self.search, self.append, self.copy, self.expunge,
                          self.idle, self.select, self.status, self.saved, self.context, self.refused, self.replace, self.notify, self.list,
                          self.batches],
                         [10, 6, 6, 6, 20, 12, 6, 10, 8, 3, 3, 4, 3, 4, 1, 2, 1, 1, 1])[0]
        what()

    def noop(self):
        start = time.monotonic()
        noop(self.s, self.rng.choice(['NOOP', 'NOOP', 'CHECK']) if not self.s.rev2 else 'NOOP')
        check_contexts(self.s, start)

    def flags(self):
        s = self.s
        uids = self.pick(30)
        if not uids:
            return
        prefix, numbers = self.as_set(uids)
        items = 'UID FLAGS' + (' MODSEQ' if s.cond and self.rng.random() < 0.5 else '') + (' SAVEDATE' if 'SAVEDATE' in s.caps else '') \
            + (' EMAILID' if 'OBJECTID' in s.caps and EMAILID else '')
        got = s.command('%sFETCH %s (%s)' % (prefix, numbers, items), may=('EXPUNGEISSUED',))
        self.must_have(got, uids, 'RFC 9051 section 6.4.5')
        for p in got.fetched:
            if 'EMAILID' in p and p['*'].uid:
                self.email_id(p)

    def email_id(self, p):
        m = self.s.model.boxes[self.s.key].messages.get(p['*'].uid)
        if m is None:
            return
        if getattr(m, 'email', p['EMAILID']) != p['EMAILID']:
            self.s.wrong('UID %d: EMAILID %r was %r' % (p['*'].uid, p['EMAILID'], m.email), 'RFC 8474 section 5.1')
        m.email = p['EMAILID']

    def changed(self):
        s, r = self.s, self.rng
        if 'CONDSTORE' not in s.caps or not s.msgs or s.nomodseq:
            return
        with s.model.lock:
            base = s.highest or s.model.boxes[s.key].highest[0] or 1
        base = max(1, base - r.choice([0, 1, 3, 20, 1000]))
        vanished = s.qresync and r.random() < 0.5
        by_uid = vanished or s.uidonly or r.random() < 0.5
        s.cond = True
        uids = s.uids()
        got = s.command('%sFETCH 1:* (%sFLAGS) (CHANGEDSINCE %d%s)' % ('UID ' if by_uid else '', 'UID ' if r.random() < 0.7 else '', base,
                        ' VANISHED' if vanished else ''), may=('EXPUNGEISSUED',))
        if not got.ok():
            return
        for p in got.fetched:
            if 'MODSEQ' not in p:
                s.wrong('FETCH (CHANGEDSINCE) without MODSEQ', 'RFC 7162 section 3.1.4.1')
            if p['MODSEQ'][0] <= base:
                s.wrong('FETCH (CHANGEDSINCE %d) told MODSEQ %d' % (base, p['MODSEQ'][0]), 'RFC 7162 section 3.1.4.1')
        with s.model.lock:
            messages = s.model.boxes[s.key].messages
            must = [u for u in uids if u in messages and any(x > base and t < got.start for x, t in messages[u].told.items())]
            self.must_have(got, must, 'RFC 7162 section 3.1.4.1')
            for uid in got.earlier:
                if uid in s.uids():
                    s.wrong('VANISHED (EARLIER) %d, which is there' % uid, 'RFC 7162 section 3.2.10.1')
                s.model.told_gone(s.key, uid, s.who, 'RFC 7162 section 3.2.6')

    def body(self):
        s, r = self.s, self.rng
        uids = self.pick(3)
        if not uids:
            return
        peek = r.random() < 0.4
        prefix, numbers = self.as_set(uids)
        op = s.model.op('FETCH BODY[]', s.who)
        if not peek and s.writable:
            s.model.store(op, s.key, uids, {'\\Seen': True})
        got = s.command('%sFETCH %s (UID RFC822.SIZE BODY%s[])' % (prefix, numbers, '.PEEK' if peek else ''), may=('EXPUNGEISSUED',))
        s.model.done(op, False)
        self.must_have(got, uids, 'RFC 9051 section 6.4.5')
        bodies = [p for p in got.fetched if 'BODY[]' in p]
        if not peek and s.writable and got.ok():
            s.model.done(op, True)
            s.model.unsure_of(op, s.key, [u for u in uids if u not in {p['UID'] for p in bodies}])
        for p in bodies:
            want = message(s.model.boxes[s.key].messages[p['UID']].token)
            if p['BODY[]'] != want or p['RFC822.SIZE'] != len(want):
                s.wrong('UID %d is %r, not %r' % (p['UID'], p['BODY[]'], want), 'RFC 9051 section 6.4.5')

    def store(self, uids=None, flags=None, sign=None):
        s, r = self.s, self.rng
        uids = uids or self.pick(5)
        if not uids:
            return
        sign = sign or r.choice(['+', '+', '-', ''])
        flags = flags or self.some_flags() or ['\\Seen']
        silent = r.random() < 0.4
        limit = None
        if 'CONDSTORE' in s.caps and not s.nomodseq and r.random() < 0.35:
            with s.model.lock:
                limit = max(1, r.choice([s.highest or 1, s.model.boxes[s.key].highest[0], (s.highest or 9) - 3]))
            s.cond = True
        values = {f: f in flags for f in FLAGS} if not sign else {f: sign == '+' for f in flags}
        prefix, numbers = self.as_set(uids)
        before = {u: (s.of_uid(u).flags, s.of_uid(u).modseq) for u in uids}
        op = s.model.op('STORE %sFLAGS %s' % (sign, flags), s.who)
        if s.writable:
            s.model.store(op, s.key, uids, values)
        try:
            got = s.command('%sSTORE %s %s%sFLAGS%s (%s)' % (prefix, numbers, '(UNCHANGEDSINCE %d) ' % limit if limit else '', sign,
                            '.SILENT' if silent else '', ' '.join(flags)),
                            may=('EXPUNGEISSUED', 'MODIFIED') if s.writable else ('EXPUNGEISSUED', '', 'READ-ONLY', 'NOPERM', 'CANNOT'))
        except BaseException:
            s.model.lost(op, s.box)
            raise
        if got.ok() and not s.writable:
            s.wrong('STORE in a mailbox that was examined', 'RFC 9051 section 6.3.3')
        s.model.done(op, got.ok())
        if not got.ok():
            for m in s.msgs:                         # which were changed is not known
                m.flags = None if silent and m.uid in uids else m.flags
            return
        modified = self.modified(got, prefix)
        if modified and limit is None:
            s.wrong('MODIFIED without UNCHANGEDSINCE', 'RFC 7162 section 3.1.3')
        s.model.not_stored(op, s.key, modified)
        stored = [u for u in uids if u not in modified]
        gone = [u for u in stored if u in got.vanished or s.model.removable(s.key, u)]
        s.model.unsure_of(op, s.key, gone)
        for uid in stored:
            m = s.of_uid(uid)
            if m is None:
                continue
            m.since = op.start if uid not in gone else m.since
            last = [p for p in got.fetched if p['*'] is m][-1:]
            if silent and not (last and 'FLAGS' in last[0]) and m.flags is not None:
                m.flags = (m.flags | {f.lower() for f, v in values.items() if v}) - {f.lower() for f, v in values.items() if not v}
            if limit and uid not in gone:
                flags_then, modseq = before[uid]
                real = flags_then is not None and modseq is not None and modseq <= limit and any((f.lower() in flags_then) != v for f, v in values.items())
                s.model.told_conditional(s.key, uid, limit, real, op.start)
        if not silent:
            self.must_have(got, stored, 'RFC 9051 section 6.4.6')
        if limit:
            told = {p['*'].uid: p for p in got.fetched if 'MODSEQ' in p}
            quiet = [u for u in stored if u not in told and u not in gone and before[u][1] is not None and u in s.uids() and not silent]
            if quiet:
                s.wrong('conditional STORE without MODSEQ for UIDs %r' % quiet, 'RFC 7162 section 3.1.3')

    def modified(self, got, prefix):
        if got.code != 'MODIFIED':
            return []
        numbers = numbers_of(got.args[0])
        return numbers if prefix else [self.s.msgs[n - 1].uid for n in numbers]

    def search(self):
        search(self.s, self.rng)

    def saved(self):
        if 'SEARCHRES' in self.s.caps or self.s.rev2:
            use_saved(self.s, self.rng)

    def context(self):
        if any(c.startswith('CONTEXT=SEARCH') for c in self.s.caps):
            context(self.s, self.rng)

    def append(self):
        s, r = self.s, self.rng
        box = r.choice(BOXES)
        many = r.randrange(1, 4) if 'MULTIAPPEND' in s.caps else 1
        parts, made = ['APPEND %s' % box], []
        for _ in range(many):
            token, flags = self.token(), self.some_flags(0.1)
            made.append((token, flags))
            parts += [' (%s) ' % ' '.join(flags) if flags or r.random() < 0.5 else ' ', Literal(message(token))]
        op = s.model.op('APPEND', s.who)
        try:
            got = s.command(*parts, sync=r.random() < 0.3 or 'LITERAL+' not in s.caps, may=('INUSE',))
        except BaseException:
            s.model.lost(op, box)
            raise
        s.model.done(op, got.ok())
        if got.ok():
            if got.code != 'APPENDUID':
                s.wrong('APPEND without APPENDUID', 'RFC 4315 section 3')
            uids = numbers_of(got.args[1])
            if len(uids) != many or uids != sorted(uids):
                s.wrong('APPENDUID %r for %d messages' % (got.args, many), 'RFC 4315 section 3')
            for uid, (token, flags) in zip(uids, made):
                self.appended((box, got.args[0]), uid, token, op, flags)

    def appended(self, key, uid, token, op, flags):
        self.s.model.make(key, uid, token, op, {f: {f in flags} for f in FLAGS})

    def copy(self):
        s, r = self.s, self.rng
        move = 'MOVE' in s.caps and s.writable and r.random() < 0.4
        uids, target = self.pick(4), r.choice([b for b in BOXES if b != s.box])
        if not uids:
            return
        prefix, numbers = self.as_set(uids)
        op = s.model.op('MOVE' if move else 'COPY', s.who)
        if move:
            s.model.removal(op, s.key, uids, needs_deleted=False)
        try:
            got = s.command('%s%s %s %s' % (prefix, op.kind, numbers, target), may=('EXPUNGEISSUED', 'INUSE'))
        except BaseException:
            s.model.lost(op, target)
            raise
        s.model.done(op, got.ok())
        if not got.ok():
            return
        codes = [(got.code, got.args)] + [(c, a) for _, c, a in got.states]
        copied = next((a for c, a in codes if c == 'COPYUID'), None)
        if copied is None:
            if all(s.model.removable(s.key, u) for u in uids):
                return
            return s.wrong('%s without COPYUID' % op.kind, 'RFC 4315 section 3')
        old, new = numbers_of(copied[1]), numbers_of(copied[2])
        if len(old) != len(new) or set(old) - set(uids) or len(set(new)) != len(new):
            s.wrong('COPYUID %r for UIDs %r' % (copied, uids), 'RFC 4315 section 3')
        missing = [u for u in uids if u not in old and not s.model.removable(s.key, u)]
        if missing:
            s.wrong('COPYUID leaves out UIDs %r' % missing, 'RFC 4315 section 3')
        s.model.copied(op, s.key, old, (target, copied[0]), new)
        left = [u for u in old if u in s.uids()]
        if move and left:
            s.wrong('MOVE did not tell that UIDs %r are gone' % left, 'RFC 6851 section 3.3')

    def expunge(self):
        s, r = self.s, self.rng
        if not s.writable:
            return
        uids = r.random() < 0.5 and self.pick(5) or None
        op = s.model.op('EXPUNGE', s.who)
        s.model.removal(op, s.key, uids)
        try:
            s.command('UID EXPUNGE ' + set_of(uids) if uids else 'EXPUNGE', may=('INUSE',))
        except BaseException:
            s.model.lost(op, s.box)
            raise
        s.model.done(op, True)

    def clear(self, count):
        uids = self.s.uids()[:count]
        self.store(uids, ['\\Deleted'], '+')
        self.expunge()

    def idle(self):
        s, r = self.s, self.rng
        if 'IDLE' not in s.caps and not s.rev2:
            return
        s.number += 1
        tag = 'k%d' % s.number
        start = time.monotonic()
        from tracker_session import Result
        got, s.now, s.changed_highest, s.code_highest = Result(tag, 'IDLE'), 'IDLE', 0, None
        s.wire.send(tag.encode() + b' IDLE\r\n')
        if s.go_on(got):
            end = time.monotonic() + r.choice([0.01, 0.3, 1.5])
            while (left := end - time.monotonic()) > 0:
                if s.wire.pending(left):
                    s.take(got)
            s.wire.send(b'DONE\r\n')
            while not s.take(got):
                pass
        s.finish(got, ())
        s.synced(start)

    def select(self):
        s, r = self.s, self.rng
        self.remember()
        if s.key and r.random() < 0.4:
            close(s, r.choice(['CLOSE'] + (['UNSELECT'] if 'UNSELECT' in s.caps or s.rev2 else [])))
            return
        box = r.choice(BOXES)
        cache = self.caches.get(box) if s.qresync and r.random() < 0.8 else None
        select(s, r, box, 'EXAMINE' if r.random() < 0.15 else 'SELECT', cache, not cache and 'CONDSTORE' in s.caps and r.random() < 0.3)

    def status(self):
        s, r = self.s, self.rng
        box = r.choice(BOXES)
        items = ['MESSAGES', 'UIDNEXT', 'UIDVALIDITY', 'UNSEEN']
        if 'CONDSTORE' in s.caps and s.cond:
            items.append('HIGHESTMODSEQ')
        if 'STATUS=SIZE' in s.caps or s.rev2:
            items.append('SIZE')
        if s.rev2:
            items.append('DELETED')
        with s.model.lock:
            most, when = max([b.highest for k, b in s.model.boxes.items() if k and k[0] == box] or [(0, 0)])
        got = s.command('STATUS %s (%s)' % (box, ' '.join(items)))
        for x in [x for x in got.data if x[0] == 'STATUS'][-1:]:      # those before it may be NOTIFY's, and late
            if (x[1] if isinstance(x[1], str) else x[1].decode()) == box:
                told = {str(k).upper(): v for k, v in zip(x[2][::2], x[2][1::2])}
                if told.get('HIGHESTMODSEQ', most) < most and when < got.start:
                    s.wrong('STATUS %s HIGHESTMODSEQ %d, %d was told before' % (box, told['HIGHESTMODSEQ'], most), 'RFC 7162 section 3.1.7')
                if told.get('UNSEEN', 0) > told.get('MESSAGES', 1 << 40):
                    s.wrong('STATUS %r' % told, 'RFC 9051 section 6.3.11')

    def list(self):
        s = self.s
        if 'LIST-STATUS' not in s.caps and not s.rev2:
            return
        got = s.command('LIST "" * RETURN (STATUS (MESSAGES UIDNEXT))')
        if sum(x[0] == 'STATUS' for x in got.data) < len(BOXES):
            s.wrong('LIST RETURN (STATUS) without STATUS for each', 'RFC 5819 section 2')

    def refused(self):
        """Numbers of messages are not understood after ENABLE UIDONLY."""
        s = self.s
        if s.uidonly and s.msgs:
            got = s.command(self.rng.choice(['FETCH 1 (FLAGS)', 'STORE 1 +FLAGS (\\Seen)', 'COPY 1 work', 'SEARCH ALL', 'UID SEARCH 1']), may=('BAD',))
            if got.status != 'BAD' or got.code != 'UIDREQUIRED':
                s.wrong('numbers after ENABLE UIDONLY: %s [%s]' % (got.status, got.code), 'RFC 9586 section 3')

    def batches(self):
        """The mailboxes are so small that all is one batch."""
        s, size = self.s, self.rng.choice([499, 500, 501, 4294967295])
        if 'UIDBATCHES' not in s.caps:
            return
        uids = s.uids()
        got = s.command('UIDBATCHES %d%s' % (size, self.rng.choice(['', ' 1:1', ' 1:3'])), may=('TOOFEW', 'LIMIT'))
        if got.code == 'TOOFEW' and size >= 500 or got.ok() and size < 500:
            s.wrong('a batch of %d: %s [%s]' % (size, got.status, got.code), 'RFC 10022 section 3.1.3.2')
        if got.code == 'LIMIT' and size not in s.batches:
            s.wrong('UIDBATCHES %d refused at its first use' % size, 'RFC 10022 section 3.1.1')
        if not got.ok():
            return
        s.batches.add(size)
        answers = [x for x in got.data if x[0] == 'UIDBATCHES']
        ranges = re.findall(r'([1-9]\d*):([1-9]\d*)(?:,|$)', str(answers[0][2])) if answers and len(answers[0]) == 3 else []
        if len(answers) != 1 or len(ranges) > 1 or uids and not ranges:
            s.wrong('UIDBATCHES %d of %d messages: %r' % (size, len(uids), answers), 'RFC 10022 section 3.1.3.3.1')
        if uids and not int(ranges[0][1]) <= min(uids) <= max(uids) <= int(ranges[0][0]):
            s.wrong('UIDBATCHES %r of UIDs %d to %d' % (ranges, min(uids), max(uids)), 'RFC 10022 section 3.1')

    def replace(self):
        s, r = self.s, self.rng
        uids = self.pick(1)
        if 'REPLACE' not in s.caps or not uids or not s.writable:
            return
        box, token, flags = r.choice(BOXES), self.token(), self.some_flags(0.1)
        prefix, numbers = self.as_set(uids)
        op = s.model.op('REPLACE', s.who)
        s.model.removal(op, s.key, uids, needs_deleted=False)
        try:
            got = s.command('%sREPLACE %s %s (%s) ' % (prefix, numbers, box, ' '.join(flags)), Literal(message(token)), may=('EXPUNGEISSUED', 'INUSE', ''))
        except BaseException:
            s.model.lost(op, box)
            raise
        s.model.done(op, got.ok())
        if got.ok():
            for code, args in [(got.code, got.args)] + [(c, a) for _, c, a in got.states]:
                if code == 'APPENDUID':
                    self.appended((box, args[0]), args[1], token, op, flags)
            if uids[0] in s.uids():
                s.wrong('REPLACE did not tell that UID %d is gone' % uids[0], 'RFC 8508 section 3.4')

    def notify(self):
        s, r = self.s, self.rng
        if 'NOTIFY' not in s.caps:
            return
        # never NONE: after it a picture is allowed to be old
        s.command('NOTIFY SET %s(SELECTED-DELAYED (MessageNew%s MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange))'
                  % (r.choice(['', 'STATUS ']), r.choice([' (UID FLAGS)', ' (UID BODY.PEEK[HEADER.FIELDS (X-Tracker)])', ''])))
        s.notify = True


__all__ = ['Actions', 'BOXES', 'SYSTEM', 'message']
