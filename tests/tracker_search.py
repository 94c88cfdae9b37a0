"""SEARCH in tracker.test: random keys with what they must find, RETURN options, $, partial results, and contexts."""
import time

from tracker_model import FLAGS
from tracker_wire import numbers_of, set_of

NAMES = {'SEEN': '\\Seen', 'ANSWERED': '\\Answered', 'FLAGGED': '\\Flagged', 'DRAFT': '\\Draft', 'DELETED': '\\Deleted'}


class Keys:
    """Random keys: text, and may(uid): the values that the key may have for a message, of {True, False}."""

    def __init__(self, s, rng):
        self.s, self.rng, self.modseq = s, rng, False

    def flag(self, name, value):
        def may(uid, since):
            m = self.s.model.boxes[self.s.key].messages.get(uid)
            if m is None:
                return {True, False}
            known = self.s.of_uid(uid)
            got = self.s.model.possible(m, name, max(since, known.since if known else 0), time.monotonic())
            return {x == value for x in got}
        return may

    def one(self, depth=0):
        s, r = self.s, self.rng
        way = r.randrange(9 if depth < 2 else 6)
        if way < 2:
            name = r.choice(sorted(NAMES))
            value = r.random() < 0.6
            return ('' if value else 'UN') + name, self.flag(NAMES[name], value)
        if way == 2:
            word, value = r.choice([f for f in FLAGS if f[0] != '\\']), r.random() < 0.6
            return ('KEYWORD ' if value else 'UNKEYWORD ') + word, self.flag(word, value)
        uids = [u for u in s.uids()]
        if way == 3 and uids:
            pick = set(r.sample(uids, r.randrange(1, len(uids) + 1)))
            return 'UID ' + set_of(pick), lambda uid, since: {uid in pick}
        if way == 4 and uids and not s.uidonly and len(uids) == len(s.msgs):
            pick = sorted(r.sample(range(len(uids)), r.randrange(1, len(uids) + 1)))
            there = {uids[i] for i in pick}
            return set_of(i + 1 for i in pick), lambda uid, since: {uid in there}
        if way == 5 and uids:
            token = s.model.boxes[s.key].messages.get(r.choice(uids))
            if token:
                return 'HEADER X-Tracker ' + token.token, self.token(token.token)
        if way == 6:
            text, may = self.one(depth + 1)
            return 'NOT ' + text, lambda uid, since: {not x for x in may(uid, since)}
        if way == 7:
            (a, may_a), (b, may_b) = self.one(depth + 1), self.one(depth + 1)
            return 'OR %s %s' % (a, b), lambda uid, since: {x or y for x in may_a(uid, since) for y in may_b(uid, since)}
        if way == 8:
            (a, may_a), (b, may_b) = self.one(depth + 1), self.one(depth + 1)
            return '(%s %s)' % (a, b), lambda uid, since: {x and y for x in may_a(uid, since) for y in may_b(uid, since)}
        return 'ALL', lambda uid, since: {True}

    def token(self, token):
        def may(uid, since):
            m = self.s.model.boxes[self.s.key].messages.get(uid)
            return {True, False} if m is None else {token in m.token}
        return may


def choose_options(s, r):
    esearch = s.rev2 or 'ESEARCH' in s.caps
    if not esearch or r.random() < 0.25:
        return None
    options = [x for x in ('MIN', 'MAX', 'ALL', 'COUNT') if r.random() < 0.45]
    if ('SEARCHRES' in s.caps or s.rev2) and r.random() < 0.35:
        options.append('SAVE')
    partial = [c for c in s.caps if c == 'PARTIAL' or c.startswith('CONTEXT=SEARCH')]
    if partial and 'ALL' not in options and r.random() < 0.4:
        first = r.randrange(1, 12)
        last = first + r.randrange(0, 10)
        sign = '-' if 'PARTIAL' in s.caps and r.random() < 0.3 else ''
        options.append('PARTIAL %s%d:%s%d' % (sign, first, sign, last))
    r.shuffle(options)
    return options


def search(s, r):
    by_uid = s.uidonly or r.random() < 0.5
    keys = Keys(s, r)
    text, may = keys.one()
    options = choose_options(s, r)
    modseq = None
    if s.cond and s.highest is not None and r.random() < 0.2:
        modseq = max(1, s.highest - r.randrange(30))
        text += ' MODSEQ %d' % modseq
    picture = [m.uid for m in s.msgs]
    since = s.fresh
    got = s.command('%sSEARCH %s%s' % ('UID ' if by_uid else '', 'RETURN (%s) ' % ' '.join(options) if options is not None else '', text),
                    may=('EXPUNGEISSUED',))
    if not got.ok():
        return
    with s.model.lock:
        judge(s, got, options, by_uid, picture, since, may, modseq)


def judge(s, got, options, by_uid, picture, since, may, modseq):
    def uid_of(n):
        if by_uid:
            if n not in picture and n not in s.uids() and n not in got.vanished and None not in [m.uid for m in s.msgs]:
                s.wrong('SEARCH found UID %d, which is not in the mailbox' % n, 'RFC 9051 section 6.4.4')
            return n
        if not 1 <= n <= len(s.msgs):
            s.wrong('SEARCH found message %d of %d' % (n, len(s.msgs)), 'RFC 9051 section 6.4.4')
        return s.msgs[n - 1].uid                     # numbers do not change during SEARCH, but NOTIFY may have told of more
    answers = [x for x in got.data if x[0] in ('SEARCH', 'ESEARCH')]
    if any(x[0] == 'ESEARCH' for x in answers) != (options is not None or s.rev2) or len(answers) > 1:
        if options != ['SAVE'] or answers:
            s.wrong('%r in answer to RETURN %r' % (answers, options), 'RFC 9051 section 7.3.4')
    if not answers:
        if options == ['SAVE']:
            s.saved = None
            return
        return s.wrong('no answer to SEARCH', 'RFC 9051 section 7.3.4')
    got_options = [x.split()[0] for x in options or []]
    if answers[0][0] == 'SEARCH':
        values = answers[0][1:]
        if values and isinstance(values[-1], list):
            values = values[:-1]
        found = [uid_of(n) for n in values]
        if modseq is not None and found and not isinstance(answers[0][-1], list):
            s.wrong('SEARCH MODSEQ without MODSEQ in its answer', 'RFC 7162 section 3.1.5')
        return complete(s, found, picture, since, may, modseq, got)
    items = answers[0][1]
    check_items(s, items, got_options, options)
    everything = None
    if 'ALL' in items:
        order = numbers_of(items['ALL'], 100000)
        everything = [uid_of(n) for n in order]
        if len(set(order)) != len(order):
            s.wrong('ALL has a message twice: %s' % items['ALL'], 'RFC 4731 section 3.1')
        for name, value in (('MIN', min(order)), ('MAX', max(order)), ('COUNT', len(order))):
            if items.get(name, value) != value:
                s.wrong('%s %r beside ALL %s' % (name, items[name], items['ALL']), 'RFC 4731 section 3.1')
    elif 'ALL' in got_options or options is None or options == []:
        everything = []
    if everything is not None:
        complete(s, everything, picture, since, may, modseq, got)
    for name in ('MIN', 'MAX'):
        if name in items:
            uid = uid_of(items[name])
            if uid is not None and modseq is None and True not in may(uid, since):
                s.wrong('%s is UID %d, which does not match' % (name, uid), 'RFC 4731 section 3.1')
            edge = [u for u in picture if u is not None and u not in got.vanished and modseq is None and may(u, since) == {True}]
            if uid is not None and edge and (name == 'MIN' and min(edge) < uid or name == 'MAX' and max(edge) > uid) and alive(s, edge, name):
                s.wrong('%s is UID %d, but of %r all match' % (name, uid, edge[:5]), 'RFC 4731 section 3.1')
    if 'COUNT' in items and modseq is None:
        values = [may(u, since) if u is not None else {True, False} for u in picture]
        most = sum(True in v for v in values) + max(0, len(s.msgs) - len(picture)) + (len(s.msgs) if by_uid else 0)
        if items['COUNT'] > most:
            s.wrong('COUNT %d, at most %d match' % (items['COUNT'], most), 'RFC 4731 section 3.1')
    if 'SAVE' in got_options:
        s.saved = None
        if everything is not None or 'COUNT' in got_options and 'ALL' in items:
            s.saved = [u for u in everything if u is not None] if None not in everything else None


def alive(s, edge, name):
    return not s.model.removable(s.key, min(edge) if name == 'MIN' else max(edge))


def check_items(s, items, wanted, options):
    if 'MODSEQ' in items and not s.cond:
        s.wrong('MODSEQ in ESEARCH', 'RFC 7162 section 3.1.10')
    for name in items:
        if name not in wanted and name != 'MODSEQ' and not (name == 'ALL' and (not wanted or wanted == ['SAVE'])):
            s.wrong('ESEARCH %s, asked for %r' % (name, options), 'RFC 4731 section 3.1')
    if 'COUNT' in wanted and 'COUNT' not in items:
        s.wrong('no COUNT', 'RFC 4731 section 3.1')
    if 'COUNT' in items and not items['COUNT'] and ('MIN' in items or 'MAX' in items or 'ALL' in items):
        s.wrong('MIN, MAX or ALL of nothing', 'RFC 4731 section 3.1')
    if 'PARTIAL' in wanted:
        asked = next(o.split()[1] for o in options if o.startswith('PARTIAL'))
        if 'PARTIAL' not in items:
            s.wrong('no PARTIAL', 'RFC 9394 section 3.1')
        told, value = items['PARTIAL']
        if str(told) != asked:
            s.wrong('PARTIAL %s, asked for %s' % (told, asked), 'RFC 9394 section 3.1')
        first, last = sorted(abs(int(x)) for x in asked.split(':'))
        count = 0 if value is None else len(numbers_of(value, 100000))
        if count > last - first + 1 or 'COUNT' in items and count != max(0, min(last, items['COUNT']) - first + 1):
            s.wrong('PARTIAL %s holds %d of %s' % (asked, count, items.get('COUNT')), 'RFC 9394 section 3.1')


def complete(s, found, picture, since, may, modseq, got):
    """found is the whole answer."""
    found = set(found)
    for uid in picture:
        if uid is None or uid in got.vanished:
            continue
        values = may(uid, since)
        m = s.model.boxes[s.key].messages.get(uid)
        if modseq is not None:
            if uid in found and values == {False}:
                s.wrong('SEARCH found UID %d, which does not match' % uid, 'RFC 9051 section 6.4.4')
            sure = m is not None and any(x >= modseq and t < got.start for x, t in m.told.items())
            if uid not in found and values == {True} and sure and not s.model.removable(s.key, uid):
                s.wrong('SEARCH MODSEQ %d has not found UID %d, which has %d' % (modseq, uid, m.modseq), 'RFC 7162 section 3.1.5')
        elif (uid in found) not in values and not (uid not in found and s.model.removable(s.key, uid)):
            s.wrong('SEARCH has %sfound UID %d' % ('' if uid in found else 'not ', uid), 'RFC 9051 section 6.4.4')


def use_saved(s, r):
    """$ in a UID FETCH."""
    if s.saved is None:
        return
    want = set(s.saved)
    got = s.command('UID FETCH $ (UID FLAGS)', may=('EXPUNGEISSUED',))
    if not got.ok():
        return
    told = {p['UID'] for p in got.fetched}
    missing = [u for u in want - told - set(got.vanished) if u in s.uids() and not s.model.removable(s.key, u)]
    if missing:
        s.wrong('FETCH $ without UIDs %r of %r' % (missing, sorted(want)), 'RFC 5182 section 2.1')


def context(s, r):
    """SEARCH RETURN (UPDATE), or its end."""
    if s.contexts and r.random() < 0.5:
        tag = r.choice(sorted(s.contexts))
        s.command('CANCELUPDATE "%s"' % tag)
        del s.contexts[tag]
        return
    if len(s.contexts) > 3 or None in [m.uid for m in s.msgs]:
        return
    text, may = Keys(s, r).one()
    if 'UID ' in text or any(c.isdigit() for c in text):
        return
    tag = 'k%d' % (s.number + 1)
    s.contexts[tag] = (set(), may)
    got = s.command('UID SEARCH RETURN (UPDATE ALL) ' + text, may=('EXPUNGEISSUED',))
    refused = any(code == 'NOUPDATE' for _, code, _ in got.states) or got.code == 'NOUPDATE' or not got.ok()
    if refused:
        del s.contexts[tag]


def check_contexts(s, since):
    """After a NOOP the sets of all contexts are what their keys say. (One that another session has just expunged may have left a context before
    VANISHED comes.)"""
    with s.model.lock:
        for tag, (members, may) in s.contexts.items():
            for uid in s.uids():
                if (uid in members) not in may(uid, since) and (uid in members or not s.model.removable(s.key, uid)):
                    s.wrong('the context %s %s UID %d' % (tag, 'has' if uid in members else 'has not', uid), 'RFC 5267 section 4.3')
