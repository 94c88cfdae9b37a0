"""The tracked client of tracker.test: what it is told makes its picture of the mailbox, and each response is held against that
picture, the model and the RFCs."""
import re
import time

from tracker_model import FLAGS
from tracker_wire import Atom, Gone, Literal, Violation, Wire, numbers_of

TOKEN = re.compile(rb'^X-Tracker: (\S+)\r?$', re.M | re.I)
KEEP_NUMBERS = {'FETCH', 'STORE', 'SEARCH', 'SORT', 'THREAD'}
KNOWN = {f.lower() for f in FLAGS} | {'\\recent'}


class Known:
    """One message of the picture: what is not yet known is None."""

    def __init__(self, uid=None, flags=None, modseq=None):
        self.uid, self.flags, self.modseq, self.since = uid, flags, modseq, 0.0


class Cache:
    """What a disconnected client keeps of a mailbox (RFC 7162 section 6)."""

    def __init__(self, validity, highest, messages, full):
        self.validity, self.highest, self.messages, self.full = validity, highest, messages, full


class Result:
    def __init__(self, tag, verb):
        self.tag, self.verb, self.start, self.data, self.fetched, self.states = tag, verb, time.monotonic(), [], [], []
        self.status = self.code = self.args = None
        self.vanished, self.earlier, self.updates = [], [], 0

    def ok(self):
        return self.status == 'OK'


class Session:
    def __init__(self, who, argv, model, log, timeout):
        self.who, self.model = who, model
        self.wire = Wire(argv, log, timeout)
        self.number, self.now, self.result = 0, None, None
        self.box = self.key = self.target = None     # target: of the SELECT that is being answered
        self.msgs, self.exists_told = [], False
        self.cond = self.qresync = self.rev2 = self.uidonly = self.dropped = self.notify = False
        self.fresh = 0.0
        self.writable, self.validity, self.uidnext, self.highest, self.nomodseq = False, None, 0, None, False
        self.closing = False                         # [CLOSED] may come
        self.contexts = {}                           # tag: (key, set of UIDs)
        self.saved = None                            # $: UIDs, or None if unknown
        self.batches = set()                         # sizes that UIDBATCHES has told of this mailbox
        got = self.wire.response()
        if got[0] != 'state' or got[1] != 'PREAUTH':
            raise Violation('greeting: %r' % (got,), 'RFC 9051 section 7.1.4')
        self.caps = set()
        self.command('CAPABILITY')

    def wrong(self, text, section):
        raise Violation('%s (%s): %s' % (self.who, self.box, text), section)

    # ---- commands

    def command(self, *parts, may=(), verb=None, sync=False):
        """parts: text and Literals. A status other than OK must carry one of the codes in may ('' for none, NO only unless 'BAD')."""
        self.number += 1
        tag = 'k%d' % self.number
        words = str(parts[0]).split()
        self.now = verb or ' '.join(words[:2 if words[0] == 'UID' else 1]).upper()
        r = self.result = Result(tag, self.now)
        self.changed_highest, self.code_highest = 0, None
        out = tag.encode() + b' '
        for part in parts:
            if isinstance(part, Literal):
                out += (b'~' if part.eight else b'') + b'{%d%s}\r\n' % (len(part.data), b'' if sync else b'+')
                if sync:
                    self.wire.send(out)
                    out = b''
                    if not self.go_on(r):
                        return self.finish(r, may)
                out += part.data
            else:
                out += part if isinstance(part, bytes) else part.encode()
        self.wire.send(out + b'\r\n')
        while not self.take(r):
            pass
        return self.finish(r, may)

    def go_on(self, r):
        while True:
            done = self.take(r, plus=True)
            if done:
                return done == 'go on'

    def take(self, r, plus=False):
        """One response; true at the tagged one."""
        got = self.wire.response()
        if got[0] == 'go on':
            if not plus:
                self.wrong('continuation that nobody asked for', 'RFC 9051 section 7.5')
            return 'go on'
        if got[0] == 'data':
            with self.model.lock:
                self.data(got[1], r)
            return False
        if got[0] == 'state':
            self.state(got[1:], r)
            return False
        if got[1] != r.tag:
            self.wrong('tag %s, not %s' % (got[1], r.tag), 'RFC 9051 section 2.2.1')
        r.status, r.code, r.args, r.text = got[2:]
        return 'tagged'

    def finish(self, r, may):
        with self.model.lock:
            self.codes(r.code, r.args)
            if self.changed_highest or self.code_highest is not None:
                self.highest_after()
        self.now = None
        if r.status == 'NO' and (r.code or '') in may or r.status == 'BAD' and 'BAD' in may:
            return r
        if r.status != 'OK':
            self.wrong('%s: %s [%s] %r' % (r.verb, r.status, r.code, r.text), 'RFC 9051 section 7.1')
        return r

    def highest_after(self):
        """RFC 7162 section 6: the code counts, else the highest MODSEQ told since the last tagged response."""
        if self.code_highest is not None:
            self.highest = self.code_highest
        elif self.highest is not None and self.changed_highest > self.highest:
            self.highest = self.changed_highest

    def leave(self, kill=False):
        return self.wire.end(kill)

    # ---- state responses and codes

    def state(self, got, r):
        status, code, args, text = got
        if status == 'BYE' and self.now != 'LOGOUT':
            self.wrong('BYE %r' % text, 'RFC 9051 section 7.1.5')
        r.states.append((status, code, args))
        if status == 'BAD':
            self.wrong('untagged BAD %r' % text, 'RFC 9051 section 7.1.3')
        if code == 'CLOSED':
            if self.now not in ('SELECT', 'EXAMINE') or not self.closing:
                self.wrong('CLOSED, but no mailbox was closed by a selection', 'RFC 9051 section 7.1')
            self.forget()
            self.closing = False
            r.fetched, r.vanished, r.earlier, self.changed_highest = [], [], [], 0       # all that was of the old one
        with self.model.lock:
            self.codes(code, args)

    def codes(self, code, args):
        if code is None:
            return
        if code == 'CAPABILITY':
            self.caps = {str(a).upper() for a in args}
        elif code == 'HIGHESTMODSEQ':
            if not isinstance(args[0], int) or args[0] < 1 or args[0] >= 1 << 63:
                self.wrong('HIGHESTMODSEQ %r' % args, 'RFC 7162 section 7')
            self.code_highest = args[0]
        elif code == 'UIDVALIDITY':
            self.validity = args[0]
            if self.target and not self.closing:
                self.box, self.key = self.target, (self.target, self.validity)
        elif code == 'UIDNEXT':
            if self.validity is not None and args[0] < self.uidnext:
                self.wrong('UIDNEXT went from %d to %d' % (self.uidnext, args[0]), 'RFC 9051 section 2.3.1.1')
            self.uidnext = args[0]
        elif code == 'NOMODSEQ':
            self.nomodseq = True

    def forget(self):
        self.msgs, self.exists_told, self.box, self.key, self.contexts, self.saved = [], False, None, None, {}, []
        self.highest, self.uidnext, self.nomodseq = None, 0, False
        self.batches = set()

    # ---- data

    def data(self, got, r):
        if isinstance(got[0], int):
            name = str(got[1]).upper()
            known = {'EXISTS': self.on_exists, 'RECENT': self.on_recent, 'EXPUNGE': self.on_expunge, 'FETCH': self.on_fetch,
                     'UIDFETCH': self.on_uidfetch}.get(name)
            if known is None:
                self.wrong('unknown response %r' % (got,), 'RFC 9051 section 7')
            if name != 'EXPUNGE' and name != 'RECENT' or self.box:
                if self.box is None and self.now not in ('SELECT', 'EXAMINE'):
                    self.wrong('%s without a mailbox' % name, 'RFC 9051 section 7.4')
            return known(got, r)
        name = str(got[0]).upper()
        if name == 'CAPABILITY':
            self.caps = {str(a).upper() for a in got[1:]}
        elif name == 'VANISHED':
            self.on_vanished(got, r)
        elif name == 'ESEARCH':
            self.on_esearch(got, r)
        elif name == 'SEARCH':
            if self.rev2:
                self.wrong('SEARCH instead of ESEARCH', 'RFC 9051 section 7.3.4')
            r.data.append(got)
        elif name == 'UIDBATCHES':
            if self.now != name or [x.decode() if isinstance(x, bytes) else str(x) for x in got[1]] != ['TAG', r.tag] or len(got) > 3:
                self.wrong('%r during %s %s' % (got, r.tag, self.now), 'RFC 10022 section 3.1.2')
            r.data.append(got)
        elif name == 'RECENT':
            self.wrong('RECENT without a number', 'RFC 3501 section 7.3.2')
        elif name in ('FLAGS', 'STATUS', 'LIST', 'ENABLED', 'LSUB', 'SORT', 'ID', 'NAMESPACE'):
            r.data.append(got)
        else:
            self.wrong('unknown response %r' % (got,), 'RFC 9051 section 7')

    def on_exists(self, got, r):
        if self.exists_told and got[0] < len(self.msgs):
            self.wrong('EXISTS %d after %d without EXPUNGE' % (got[0], len(self.msgs)), 'RFC 9051 section 7.4.1')
        self.exists_told = True
        self.msgs += [Known() for _ in range(got[0] - len(self.msgs))]

    def on_recent(self, got, r):
        if self.rev2:
            self.wrong('RECENT although IMAP4rev2 is enabled', 'RFC 9051 appendix E')
        if got[0] > len(self.msgs) and self.exists_told:
            self.wrong('RECENT %d of %d' % (got[0], len(self.msgs)), 'RFC 3501 section 7.3.2')

    def no_renumbering(self, what):
        if self.now in KEEP_NUMBERS:
            self.wrong('%s during %s' % (what, self.now), 'RFC 9051 section 7.5.1')

    def on_expunge(self, got, r):
        if self.qresync or self.uidonly:
            self.wrong('EXPUNGE instead of VANISHED', 'RFC 7162 section 3.2.10')
        self.no_renumbering('EXPUNGE')
        if not 1 <= got[0] <= len(self.msgs):
            self.wrong('EXPUNGE %d of %d' % (got[0], len(self.msgs)), 'RFC 9051 section 7.5.1')
        self.remove(got[0] - 1, r)

    def remove(self, index, r):
        m = self.msgs.pop(index)
        if m.uid is not None:
            r.vanished.append(m.uid)
            self.model.told_gone(self.key, m.uid, self.who, 'RFC 9051 section 7.5.1')

    def on_vanished(self, got, r):
        if not self.qresync and not self.uidonly:
            self.wrong('VANISHED without QRESYNC', 'RFC 7162 section 3.2.10')
        earlier = isinstance(got[1], list)
        if earlier and [str(x).upper() for x in got[1]] != ['EARLIER'] or len(got) != (3 if earlier else 2):
            self.wrong('%r' % got, 'RFC 7162 section 7')
        uids = numbers_of(got[-1], 1 << 20)
        if earlier:
            if self.now not in ('SELECT', 'EXAMINE', 'UID FETCH'):
                self.wrong('VANISHED (EARLIER) during %s' % self.now, 'RFC 7162 section 3.2.10.1')
            r.earlier += uids
            return
        self.no_renumbering('VANISHED')
        for uid in uids:
            at = next((i for i, m in enumerate(self.msgs) if m.uid == uid), None)
            if at is None:                           # one of those between its neighbours whose UIDs are not known yet
                at = next((i for i, m in enumerate(self.msgs) if m.uid is None and (self.uidonly or all(x.uid is None or x.uid < uid for x in self.msgs[:i])
                           and all(x.uid is None or x.uid > uid for x in self.msgs[i:]))), None)
                if at is None:
                    self.wrong('VANISHED %d, which was not there' % uid, 'RFC 7162 section 3.2.10.2')
                self.model.told_gone(self.key, uid, self.who, 'RFC 7162 section 3.2.10.2')
                r.vanished.append(uid)
                del self.msgs[at]
            else:
                self.remove(at, r)

    def pairs(self, items):
        if not isinstance(items, list) or len(items) % 2 or not items:
            self.wrong('FETCH %r' % (items,), 'RFC 9051 section 7.5.2')
        names = [str(x).upper() for x in items[::2]]
        if len(set(names)) != len(names):
            self.wrong('FETCH items twice: %r' % names, 'RFC 9051 section 7.5.2')
        return dict(zip(names, items[1::2]))

    def on_fetch(self, got, r):
        if self.uidonly:
            self.wrong('FETCH instead of UIDFETCH', 'RFC 9586 section 3')
        if not 1 <= got[0] <= len(self.msgs):
            self.wrong('FETCH of message %d of %d' % (got[0], len(self.msgs)), 'RFC 9051 section 7.5.2')
        pairs, m = self.pairs(got[2]), self.msgs[got[0] - 1]
        uid = pairs.get('UID')
        if uid is not None:
            if m.uid not in (None, uid):
                self.wrong('message %d was UID %d, is UID %d' % (got[0], m.uid, uid), 'RFC 9051 section 2.3.1.1')
            before = max((x.uid for x in self.msgs[:got[0] - 1] if x.uid), default=0)
            after = min((x.uid for x in self.msgs[got[0]:] if x.uid), default=1 << 32)
            if not before < uid < after:
                self.wrong('message %d has UID %d between %d and %d' % (got[0], uid, before, after), 'RFC 9051 section 2.3.1.1')
            m.uid = uid
        self.fetched(m, pairs, r)

    def on_uidfetch(self, got, r):
        if not self.uidonly:
            self.wrong('UIDFETCH although UIDONLY is not enabled', 'RFC 9586 section 3')
        pairs, uid = self.pairs(got[2]), got[0]
        if pairs.setdefault('UID', uid) != uid:
            self.wrong('UIDFETCH %d of UID %d' % (uid, pairs['UID']), 'RFC 9586 section 3')
        m = next((x for x in self.msgs if x.uid == uid), None)
        if m is None:
            m = next((x for x in self.msgs if x.uid is None), None)
            if m is None:
                self.wrong('UIDFETCH of %d, which EXISTS did not count' % uid, 'RFC 9586 section 3')
            m.uid = uid
            self.msgs.sort(key=lambda x: x.uid or 1 << 33)
        self.fetched(m, pairs, r)

    def fetched(self, m, pairs, r):
        if self.key is None:
            self.wrong('FETCH before UIDVALIDITY', 'RFC 7162 section 3.2.5.1')
        asked = self.now in ('FETCH', 'UID FETCH')
        if self.now and self.now.startswith('UID') and 'UID' not in pairs:
            self.wrong('%s: FETCH without UID' % self.now, 'RFC 9051 section 6.4.9')
        if self.qresync and not asked and self.now != 'STORE' and 'UID' not in pairs:
            self.wrong('unsolicited FETCH without UID', 'RFC 7162 section 3.2.4')
        uid, flags, modseq = m.uid, None, None
        if 'MODSEQ' in pairs:
            if not self.cond:
                self.wrong('MODSEQ before a CONDSTORE enabling command', 'RFC 7162 section 3.1')
            if not isinstance(pairs['MODSEQ'], list) or len(pairs['MODSEQ']) != 1 or not isinstance(pairs['MODSEQ'][0], int):
                self.wrong('MODSEQ %r' % (pairs['MODSEQ'],), 'RFC 7162 section 7')
            modseq = pairs['MODSEQ'][0]
            if not 0 < modseq < 1 << 63:
                self.wrong('MODSEQ %d' % modseq, 'RFC 7162 section 7')
            if m.modseq is not None and modseq < m.modseq:
                self.wrong('UID %s: MODSEQ %d after %d' % (uid, modseq, m.modseq), 'RFC 7162 section 3.1')
        elif self.cond and 'FLAGS' in pairs and not asked and not self.nomodseq:
            self.wrong('FETCH of a change without MODSEQ', 'RFC 7162 section 3.1')
        if 'FLAGS' in pairs:
            flags = {str(f).lower() for f in pairs['FLAGS']}
            if len(flags) != len(pairs['FLAGS']) or flags - KNOWN:
                self.wrong('flags %r' % pairs['FLAGS'], 'RFC 9051 section 2.3.2')
            if self.rev2 and '\\recent' in flags:
                self.wrong('\\Recent although IMAP4rev2 is enabled', 'RFC 9051 appendix E')
            m.flags = flags - {'\\recent'}
        body = next((v for k, v in pairs.items() if k.startswith('BODY[HEADER.FIELDS') or k == 'BODY[]'), None)
        if body is not None:
            found = TOKEN.search(body)
            if found is None or uid is None:
                self.wrong('no message of ours: %r' % body[:200], 'RFC 9051 section 6.4.5')
            self.model.seen(self.key, uid, found.group(1).decode(), self.who)
        if modseq is not None:
            m.modseq = modseq
            if uid is not None:
                self.model.told_modseq(self.key, uid, modseq, flags, self.who)
            # The UIDs and flags of a FETCH that does not tell all changes are no news (RFC 7162 section 6)
            self.changed_highest = max(self.changed_highest, modseq)
        if flags is not None and uid is not None:
            self.model.told_flags(self.key, uid, flags, max(self.fresh, m.since), self.who, 'RFC 9051 section 7.5.2')
        pairs['*'] = m
        r.fetched.append(pairs)

    def on_esearch(self, got, r):
        at, tag, uid = 1, None, False
        if len(got) > 1 and isinstance(got[1], list):
            if len(got[1]) < 2 or str(got[1][0]).upper() != 'TAG':
                self.wrong('%r' % got, 'RFC 4466 section 2.6.2')
            tag, at = got[1][1], 2
            tag = tag.decode() if isinstance(tag, bytes) else str(tag)
        if len(got) > at and isinstance(got[at], Atom) and got[at].upper() == 'UID':
            uid, at = True, at + 1
        rest = got[at:]
        if len(rest) % 2:
            self.wrong('ESEARCH %r' % got, 'RFC 4466 section 2.6.2')
        items = [(str(k).upper(), v) for k, v in zip(rest[::2], rest[1::2])]
        if self.uidonly and not uid:
            self.wrong('ESEARCH without UID', 'RFC 9586 section 3')
        updates = [x for x in items if x[0] in ('ADDTO', 'REMOVEFROM')]
        if updates:
            return self.on_update(tag, uid, updates, r)
        if tag != r.tag or 'SEARCH' not in self.now and 'SORT' not in self.now:
            self.wrong('ESEARCH with tag %s during %s %s' % (tag, r.tag, self.now), 'RFC 4466 section 2.6.2')
        if uid != self.now.startswith('UID'):
            self.wrong('ESEARCH %s UID during %s' % ('with' if uid else 'without', self.now), 'RFC 4731 section 3')
        if tag in self.contexts and 'ALL' in dict(items):
            self.contexts[tag][0].update(numbers_of(dict(items)['ALL'], 1 << 20))
        r.data.append([Atom('ESEARCH'), dict(items)])

    def on_update(self, tag, uid, updates, r):
        if tag not in self.contexts:
            self.wrong('an update of the context %s, which there is not' % tag, 'RFC 5267 section 4.3')
        members = self.contexts[tag][0]
        for kind, value in updates:
            for sub in value[1::2]:
                for n in numbers_of(sub):
                    if not uid and n > len(self.msgs):
                        self.wrong('%s %d of %d messages' % (kind, n, len(self.msgs)), 'RFC 5267 section 4.3.2')
                    n = n if uid else self.msgs[n - 1].uid
                    if n is None:
                        continue
                    if kind == 'ADDTO' and n in members or kind == 'REMOVEFROM' and n not in members:
                        self.wrong('%s of UID %d, which %s there' % (kind, n, 'is' if kind == 'ADDTO' else 'is not'), 'RFC 5267 section 4.3')
                    (members.add if kind == 'ADDTO' else members.discard)(n)
                    r.updates += 1

    # ---- the picture

    def uids(self):
        return [m.uid for m in self.msgs if m.uid is not None]

    def of_uid(self, uid):
        return next((m for m in self.msgs if m.uid == uid), None)

    def synced(self, since):
        """Everything that was done before `since` has been told by now: is the picture right?"""
        with self.model.lock:
            missing = self.model.missing(self.key, self.uids(), since) if None not in (m.uid for m in self.msgs) else []
            if missing:
                self.wrong('UIDs %r are missing' % missing[:10], 'RFC 9051 section 5.2')
            stale = self.model.stale(self.key, self.uids(), since)
            if stale:
                self.wrong('it was not told that UIDs %r are gone' % stale[:10], 'RFC 9051 section 5.2')
            for m in self.msgs:
                if m.uid is not None and m.flags is not None:
                    self.model.told_flags(self.key, m.uid, m.flags, max(since, m.since), self.who + ' (picture after a NOOP)', 'RFC 9051 section 5.2')
                known = self.model.boxes[self.key].messages.get(m.uid)
                if known and self.cond and m.modseq is not None:
                    newer = [x for x, t in known.told.items() if x > m.modseq and t < since]
                    if newer:
                        self.wrong('it was not told that UID %d has MODSEQ %d, only %d' % (m.uid, max(newer), m.modseq), 'RFC 7162 section 3.1')
            self.fresh = max(self.fresh, since)

    def keep(self):
        """What a client that loses its connection now has in its cache."""
        if self.key is None or self.highest is None:
            return None
        return Cache(self.validity, self.highest, {m.uid: (m.flags, m.modseq) for m in self.msgs if m.uid is not None},
                     all(m.uid is not None for m in self.msgs))


__all__ = ['Cache', 'Gone', 'Known', 'Literal', 'Session', 'TOKEN', 'Violation']
