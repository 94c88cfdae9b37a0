"""Opening and leaving mailboxes in tracker.test: ENABLE, SELECT in its forms, and the client that comes back with its cache."""
import time

from tracker_session import Cache, Known, Violation
from tracker_wire import set_of

ENABLES = ['CONDSTORE', 'QRESYNC', 'IMAP4REV2', 'UTF8=ACCEPT', 'UIDONLY']


def enable(s, rng, want=None):
    """Switches on a random part of what the server offers."""
    if want is None:
        want = [x for x in ENABLES if x in s.caps and rng.random() < (0.25 if x == 'UIDONLY' else 0.5)]
    want = [x for x in want if x in s.caps]
    if not want or 'ENABLE' not in s.caps:
        return
    r = s.command('ENABLE ' + ' '.join(want))
    told = [str(x).upper() for got in r.data if got[0] == 'ENABLED' for x in got[1:]]
    if set(told) - set(want) - ({'CONDSTORE'} if 'QRESYNC' in want else set()) - ({'UTF8=ACCEPT'} if 'IMAP4REV2' in want else set()):
        s.wrong('ENABLED %r after ENABLE %r' % (told, want), 'RFC 5161 section 3.2')
    if set(want) - set(told):
        s.wrong('ENABLE %r enabled only %r' % (want, told), 'RFC 5161 section 3.1')
    s.qresync = s.qresync or 'QRESYNC' in told
    s.cond = s.cond or s.qresync or 'CONDSTORE' in told
    s.rev2 = s.rev2 or 'IMAP4REV2' in told
    s.uidonly = s.uidonly or 'UIDONLY' in told
    s.wire.utf8 = s.rev2 or 'UTF8=ACCEPT' in told


def close(s, how):
    """CLOSE or UNSELECT."""
    op = None
    if how == 'CLOSE':
        op = s.model.op('CLOSE', s.who)
        if s.writable:
            s.model.removal(op, s.key)
    s.command(how)
    if op:
        s.model.done(op, True)
    s.forget()


def select(s, rng, box, verb='SELECT', cache=None, condstore=False):
    """cache: what an earlier session knew, for QRESYNC."""
    closing = s.box is not None
    must = closing and ('QRESYNC' in s.caps or s.rev2)
    text = '%s %s' % (verb, box)
    if condstore:
        text += ' (CONDSTORE)'
        s.cond = True
    elif cache:
        text += ' (QRESYNC (%d %d%s))' % (cache.validity, cache.highest, known_part(cache, rng, s.uidonly))
    s.closing, s.target = closing, box
    if not must:
        s.forget()
    before = s.wire.received
    start = time.monotonic()
    try:
        r = s.command(text)
    finally:
        s.target = None
    if must and s.closing:
        s.wrong('no [CLOSED]', 'RFC 7162 section 3.2.11')
    s.closing = False
    s.writable = r.code == 'READ-WRITE'
    if r.code != ('READ-WRITE' if verb == 'SELECT' else 'READ-ONLY'):
        s.wrong('%s ended with [%s]' % (verb, r.code), 'RFC 9051 section 6.3.2')
    codes = {c: a for _, c, a in r.states if c}
    for need in ('UIDVALIDITY', 'UIDNEXT', 'PERMANENTFLAGS'):
        if need not in codes:
            s.wrong('%s without %s' % (verb, need), 'RFC 9051 section 6.3.2')
    if not s.exists_told or not any(x[0] == 'FLAGS' for x in r.data):
        s.wrong('%s without EXISTS or FLAGS' % verb, 'RFC 9051 section 6.3.2')
    if s.rev2 and not any(x[0] == 'LIST' for x in r.data):
        s.wrong('%s without LIST' % verb, 'RFC 9051 section 6.3.2')
    if s.cond and 'HIGHESTMODSEQ' not in codes and 'NOMODSEQ' not in codes:
        s.wrong('neither HIGHESTMODSEQ nor NOMODSEQ', 'RFC 7162 section 3.1.2')
    s.highest = codes['HIGHESTMODSEQ'][0] if 'HIGHESTMODSEQ' in codes else None
    with s.model.lock:
        most, when = s.model.boxes[s.key].highest
        if s.highest is not None and when < start and s.highest < most:
            s.wrong('HIGHESTMODSEQ %d, but %d was told before' % (s.highest, most), 'RFC 7162 section 3.1.2.1')
        if s.highest is not None and s.highest > most:
            s.model.boxes[s.key].highest = (s.highest, time.monotonic())
    s.fresh = start
    if cache:
        come_back(s, r, cache, s.wire.received - before)
    elif r.earlier:
        s.wrong('VANISHED (EARLIER) without QRESYNC', 'RFC 7162 section 3.2.5')
    return r


def known_part(cache, rng, uidonly):
    """The optional parameters: known UIDs, and a match of numbers and UIDs, which UIDONLY does not have."""
    uids = sorted(cache.messages)
    way = rng.randrange(3)
    if way == 0 or not uids:
        return ''
    known = ' ' + set_of(uids) if rng.random() < 0.5 else ' 1:%d' % uids[-1]
    if way == 1 or uidonly or not cache.full:
        return known
    picks = sorted({len(uids) - 1 - (len(uids) >> i) // 2 for i in range(8)} - {-1})
    return known + ' (%s %s)' % (','.join(str(i + 1) for i in picks), ','.join(str(uids[i]) for i in picks))


def come_back(s, r, cache, octets):
    """SELECT (QRESYNC) was answered: the cache must now be the mailbox, but for what is new."""
    if s.validity != cache.validity:
        return
    if s.highest is None:
        return
    if s.highest < cache.highest:
        s.wrong('HIGHESTMODSEQ went from %d to %d' % (cache.highest, s.highest), 'RFC 7162 section 3.1.2.1')
    for uid in r.earlier:
        if uid in cache.messages:
            s.model.told_gone(s.key, uid, s.who, 'RFC 7162 section 3.2.5.1')
    for pairs in r.fetched:
        if s.notify and 'FLAGS' not in pairs:
            continue                                 # NOTIFY's, of a message that came meanwhile
        if 'UID' not in pairs or 'MODSEQ' not in pairs or 'FLAGS' not in pairs:
            s.wrong('FETCH %r in SELECT (QRESYNC)' % sorted(pairs), 'RFC 7162 section 3.2.5.1')
        if pairs['MODSEQ'][0] <= cache.highest:
            s.wrong('UID %d with MODSEQ %d was sent, the client knew %d' % (pairs['UID'], pairs['MODSEQ'][0], cache.highest),
                    'RFC 7162 section 3.2.5.1')
    old = [p for p in r.fetched if p.get('MODSEQ', [0])[0] <= s.highest]         # what is newer changed while the mailbox was opened
    if s.highest == cache.highest and (old or octets > 1024 and not s.notify and not r.fetched):
        s.wrong('%d octets, %d FETCH although nothing changed' % (octets, len(old)), 'RFC 7162 section 3.2.5.1')
    s.model.count['QRESYNC'] += 1
    count, told = len(s.msgs), {m.uid: m for m in s.msgs if m.uid is not None}
    places = [(i, m.uid) for i, m in enumerate(s.msgs) if m.uid is not None]
    gone = set(r.earlier) | set(r.vanished)
    merge = {uid: Known(uid, *old) for uid, old in cache.messages.items() if uid not in gone}
    merge.update(told)
    if len(merge) > count:
        s.wrong('the cache has %d messages after SELECT (QRESYNC), the mailbox %d' % (len(merge), count), 'RFC 7162 section 3.2.5.1')
    if s.uidonly:
        s.msgs = [merge[u] for u in sorted(merge)] + [Known() for _ in range(count - len(merge))]
        return
    # What the cache has comes first, what it has not yet behind that; if it had holes, only what was told has a place
    kept = [merge[u] for u in sorted(set(cache.messages) - gone)] if cache.full else []
    slots = kept + [Known() for _ in range(count - len(kept))]
    for i, uid in places:
        if i < len(kept) and kept[i].uid != uid:
            s.wrong('UID %d was said to be message %d, which the cache has as UID %d' % (uid, i + 1, kept[i].uid), 'RFC 7162 section 3.2.5.1')
        slots[i] = told[uid]
    s.msgs = slots


def learn(s, rng):
    """Finds out what the messages are of which EXISTS alone has told, and flags that are not known."""
    for turn in range(4):
        unknown = [i for i, m in enumerate(s.msgs) if m.uid is None]
        no_flags = [m.uid for m in s.msgs if m.uid is not None and m.flags is None]
        strange = [u for u in s.uids() if u not in s.model.boxes[s.key].messages]
        if not unknown and not no_flags and not strange:
            return
        items = '(UID FLAGS %sBODY.PEEK[HEADER.FIELDS (X-Tracker)])' % ('MODSEQ ' if s.cond and not s.nomodseq else '')
        last = max(s.uids(), default=0)
        if unknown and not s.uidonly and (rng.random() < 0.5 or turn > 1 and min(unknown) < len(s.msgs) - len(unknown)):
            text = 'FETCH %s ' % set_of(i + 1 for i in unknown)
        elif unknown:
            text = 'UID FETCH %d:* ' % (last + 1 if turn < 2 else 1)
        else:
            text = 'UID FETCH %s ' % set_of(no_flags + strange)
        s.command(text + items, may=('EXPUNGEISSUED',))
        if turn:
            noop(s)


def noop(s, verb='NOOP'):
    start = time.monotonic()
    s.command(verb)
    if s.key:
        s.synced(start)


__all__ = ['Cache', 'Violation', 'close', 'enable', 'learn', 'noop', 'select']
