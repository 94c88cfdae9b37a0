"""The scenarios of crash.test and faults.test (crash_lib.py says what one is)."""
from crash_lib import Scenario, append, mbox_of, message

SEAL = ['SELECT INBOX', 'FETCH 1:* (UID)', 'CHECK']      # the mailbox gets its UIDs, and the file its bookkeeping


def box(first, n, size=300):
    return mbox_of([message(first + i, size + 37 * i) for i in range(n)])


def several(name, *messages):
    return b'APPEND ' + name.encode() + b''.join(b' {%d+}\r\n%s' % (len(m), m) for m in messages)


def replace(what, octets):
    return b'%s (\\Flagged) {%d+}\r\n%s' % (what.encode(), len(octets), octets)


def with_empty_old(state):
    return dict(state[0], old=()), state[1]


def scenarios():
    """All of them, by name."""
    six, three, empty = box(1, 6), box(101, 3), b''
    large = box(1, 30, 2000)                              # many steps of the journal
    sealed_two = SEAL + ['SELECT other', 'CHECK']
    out = [
        Scenario('open', {'inbox': six}, ['SELECT INBOX', 'CHECK']),
        Scenario('open-large', {'inbox': large}, ['SELECT INBOX', 'CHECK'], warm=False),
        Scenario('open-crlf', {'inbox': mbox_of([message(i) for i in range(1, 5)], crlf=True)}, ['SELECT INBOX', 'STORE 2 +FLAGS (\\Seen)', 'CHECK'],
                 warm=False),
        Scenario('append', {'inbox': six}, [append('INBOX', message(50, 900), '(\\Seen)'), append('INBOX', message(51, 100)), 'SELECT INBOX',
                                            append('INBOX', message(52, 30000), '(\\Flagged kw)')], prelude=SEAL),
        Scenario('append-cold', {'inbox': six}, [append('INBOX', message(50, 900), '(\\Seen)')], warm=False),
        Scenario('append-empty', {'inbox': empty}, [append('INBOX', message(50, 900), '(\\Seen)'), append('INBOX', message(51, 9000))]),
        Scenario('append-created', {'inbox': three}, ['CREATE new', append('new', message(50)), append('new', message(51, 20000))],
                 deliver=('inbox', 'new')),
        Scenario('copy', {'inbox': six, 'other': three}, ['SELECT INBOX', 'COPY 2:4 other', 'STORE 1 +FLAGS (\\Seen kw)', 'COPY 1 other'],
                 prelude=sealed_two, deliver=('inbox', 'other')),
        Scenario('copy-large', {'inbox': large, 'other': empty}, ['SELECT INBOX', 'COPY 1:20 other'], prelude=SEAL, warm=False,
                 deliver=('other',)),
        Scenario('move', {'inbox': six, 'other': three}, ['SELECT INBOX', 'MOVE 2:3 other', 'UID STORE 6 +FLAGS (\\Flagged)', 'UID MOVE 6 other'],
                 prelude=sealed_two, deliver=('inbox', 'other')),
        Scenario('move-cold', {'inbox': six, 'other': three}, ['SELECT INBOX', 'MOVE 1,3,6 other'], warm=False, deliver=('inbox', 'other')),
        Scenario('move-large', {'inbox': large, 'other': three}, ['SELECT INBOX', 'MOVE 2:9,15 other'], prelude=sealed_two,
                 deliver=('inbox', 'other')),
        Scenario('move-all', {'inbox': six, 'other': empty}, ['SELECT INBOX', 'MOVE 1:* other'], prelude=SEAL, deliver=('inbox', 'other')),
        Scenario('append-several', {'inbox': six}, [several('INBOX', message(70, 900), message(71, 30000), message(72, 100)),
                                                    'APPEND INBOX CATENATE (URL "/INBOX/;UID=2" URL "/INBOX/;UID=1/;SECTION=TEXT")'], prelude=SEAL),
        Scenario('replace', {'inbox': six}, ['SELECT INBOX', replace('REPLACE 3 INBOX', message(80, 900)), replace('UID REPLACE 1 INBOX', message(81)),
                                             replace('REPLACE * INBOX', message(82, 20000))], prelude=SEAL),
        Scenario('replace-other', {'inbox': six, 'other': three}, ['SELECT INBOX', replace('REPLACE 2 other', message(83, 900)),
                                                                   replace('UID REPLACE 1 other', message(84, 9000))],
                 prelude=sealed_two, deliver=('inbox', 'other')),
        Scenario('replace-cold', {'inbox': large}, ['SELECT INBOX', replace('REPLACE 2 INBOX', message(85, 900))], warm=False),
        Scenario('expunge-first', {'inbox': six}, ['SELECT INBOX', 'STORE 1 +FLAGS (\\Deleted)', 'EXPUNGE'], prelude=SEAL),
        Scenario('expunge-middle', {'inbox': six}, ['SELECT INBOX', 'STORE 3:4 +FLAGS (\\Deleted)', 'EXPUNGE'], prelude=SEAL),
        Scenario('expunge-last', {'inbox': six}, ['SELECT INBOX', 'STORE 6 +FLAGS (\\Deleted)', 'EXPUNGE'], prelude=SEAL),
        Scenario('expunge-second', {'inbox': large}, ['SELECT INBOX', 'STORE %s +FLAGS (\\Deleted)' % ','.join(map(str, range(2, 31, 2))),
                                                      'EXPUNGE'], prelude=SEAL),
        Scenario('expunge-all', {'inbox': six}, ['SELECT INBOX', 'STORE 1:* +FLAGS (\\Deleted)', 'EXPUNGE'], prelude=SEAL),
        Scenario('expunge-cold', {'inbox': large}, ['SELECT INBOX', 'STORE 1,7:9,30 +FLAGS (\\Deleted)', 'EXPUNGE'], warm=False),
        Scenario('expunge-huge', {'inbox': box(1, 40, 8000)}, ['SELECT INBOX', 'STORE 2:3 +FLAGS (\\Deleted)', 'EXPUNGE',
                                                              'UID STORE 7 +FLAGS (\\Deleted)', 'EXPUNGE'], prelude=SEAL, disk=True),
        Scenario('close', {'inbox': six}, ['SELECT INBOX', 'STORE 2,5 +FLAGS (\\Deleted)', 'STORE 3 +FLAGS (\\Answered)', 'CLOSE'], prelude=SEAL),
        Scenario('flags', {'inbox': six}, ['SELECT INBOX', 'STORE 1:3 +FLAGS (\\Seen)', 'CHECK', 'STORE 2 FLAGS (\\Answered \\Flagged)',
                                           'STORE 6 +FLAGS (\\Draft)', 'CHECK'], prelude=SEAL),
        Scenario('flags-grow', {'inbox': large}, ['SELECT INBOX', 'STORE 2:25 +FLAGS (%s)' % ' '.join('a-long-keyword-%d' % i for i in range(9)),
                                                  'CHECK', 'STORE 3 +FLAGS (one-more)', 'CHECK'], prelude=SEAL),
        Scenario('flags-cold', {'inbox': six}, ['SELECT INBOX', 'STORE 2,4 +FLAGS (\\Seen work)', 'CHECK'], warm=False),
        Scenario('names', {'inbox': three, 'a': box(201, 2), 'b': box(301, 2)},
                 ['CREATE new', 'CREATE dir/', 'CREATE dir/below', 'RENAME a dir/c', 'DELETE b', 'RENAME dir dir2', 'SUBSCRIBE new', 'SUBSCRIBE dir2/c',
                  'UNSUBSCRIBE new', 'CREATE b'], prelude=['SELECT a', 'CHECK', 'SELECT b', 'CHECK'], renewed=('b',)),
        Scenario('rename-inbox', {'inbox': six}, ['RENAME INBOX old'], prelude=SEAL, renewed=('INBOX', 'old'),
                 between=with_empty_old),     # CREATE, then MOVE of all
        Scenario('multi', {'inbox': six, 'other': three},
                 ['SELECT INBOX', 'STORE 2 +FLAGS (\\Deleted)', 'EXPUNGE', append('INBOX', message(60, 700), '(\\Seen)'),
                  'UID STORE 1 +FLAGS (\\Seen k1)', 'UID COPY 1 other', 'UID STORE 4 +FLAGS (\\Deleted)', 'UID MOVE 5 other', 'EXPUNGE',
                  append('other', message(61, 5000)), 'UID STORE 3 FLAGS (\\Flagged \\Deleted)', 'CLOSE'], prelude=sealed_two, deliver=('inbox', 'other')),
    ]
    return {s.name: s for s in out}


def recovered():
    """Scenarios whose recovery is ended too."""
    return ('expunge-second', 'expunge-first', 'move', 'move-large', 'flags-grow', 'open-large', 'expunge-huge', 'append', 'replace', 'replace-other')
