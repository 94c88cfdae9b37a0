"""What the tests of --import and --export share: running them, what a mailbox says to a client, and sources to read."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['SRCDIR'], 'tests', 'lib'))
sys.path.insert(0, os.path.join(os.environ['SRCDIR'], 'tests'))
from imapwire import Home
from others_lib import DOVECOT, Client, dovecot_settings, number, user

failed = []


def expect(what, good, seen=''):
    if not good:
        failed.append(what)
        print('WRONG: %s: %s' % (what, seen))
    else:
        print('ok: ' + what)


class Tool(Home):
    """A home where imapd --import and --export are run by its user."""

    def run(self, *args, timeout=100, **more):
        self.own()
        out = subprocess.run(self.argv() + list(args), capture_output=True, timeout=timeout, cwd=self.dir, **more)
        return out.returncode, out.stdout.decode('utf-8', 'replace'), out.stderr.decode('utf-8', 'replace')

    def path(self, *parts):
        return os.path.join(self.dir, *parts)


def messages(client, mailbox='INBOX'):
    """UIDVALIDITY, UIDNEXT and {UID: (octets, flags, INTERNALDATE in seconds)}."""
    got = client.ok('EXAMINE ' + mailbox)
    out = {}
    for attributes in (client.fetch('FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])') if client.exists else {}).values():
        flags = frozenset(str(f).lower() for f in attributes['FLAGS'] if str(f) != '\\Recent')
        assert len(attributes['BODY[]']) == attributes['RFC822.SIZE']
        out[attributes['UID']] = (attributes['BODY[]'], flags, seconds(attributes['INTERNALDATE']))
    return number(got, 'UIDVALIDITY'), number(got, 'UIDNEXT'), out


def seconds(internaldate):
    import datetime
    return int(datetime.datetime.strptime(internaldate.decode().strip(), '%d-%b-%Y %H:%M:%S %z').timestamp())


def seen(home, mailbox='INBOX'):
    c = home.client()
    try:
        return messages(c, mailbox)
    finally:
        c.close()


def dovecot(home, location, name):
    """A session of Dovecot's own on this mail_location."""
    conf = home.dir + '.' + name + '.conf'
    run = home.dir + '.run'
    os.makedirs(run, exist_ok=True)
    with open(conf, 'w') as f:
        f.write(dovecot_settings(
            'mail_location = %s\nlog_path = %s/%s.log\nssl = no\nbase_dir = %s\nmail_privileged_group =\nfirst_valid_uid = 500\n'
            'mbox_write_locks = dotlock fcntl\nnamespace inbox {\n inbox = yes\n separator = /\n}\n' % (location, home.dir, name, run)))
    home.own()
    return Client(user(home, [DOVECOT, '-c', conf])), conf


FLAGS = ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', '$Forwarded', '$Label1', 'Work', 'NonJunk']


def lines(rng):
    out = []
    for _ in range(rng.randrange(30)):
        kind = rng.random()
        if kind < 0.15:
            out.append(b'>' * rng.randrange(6) + b'From ' + rng.choice([b'me', b'a@b Mon Jan  1 00:00:00 2024', b'']))
        elif kind < 0.3:
            out.append(bytes(rng.randrange(1, 256) for _ in range(rng.randrange(80))))
        elif kind < 0.4:
            out.append(b'')
        elif kind < 0.5:
            out.append(rng.choice([b'Status: RO', b'X-UID: 3', b'X-IMAPbase: 1 2', b'Content-Length: 7', b'X-Keywords: a']))
        else:
            out.append(b'words and words ' * rng.randrange(5))
    return out


def random_message(rng, i, exact=True):
    """Any octets; without exact: as another server keeps them, all line ends CRLF."""
    end = rng.choice([b'\r\n'] * 6 + [b'\n', b'\r\r\n']) if exact else b'\r\n'
    text = b'Subject: %d\r\nFrom: a@b\r\nMessage-ID: <%d@x>\r\n' % (i, i)
    text += end.join(lines(rng)[:4]) + b'\r\n\r\n' + end.join(lines(rng))
    if rng.random() < 0.7:
        text += b'\r\n'
    if rng.random() < 0.02:
        text += b'\r\n'.join([b'>From the start' if k % 9 == 0 else b'A' * 70 for k in range(rng.randrange(3000))])
    return text


def plain_message(rng, i):
    body = '\r\n'.join('line %d of %d' % (k, i) for k in range(rng.randrange(1, 40)))
    return ('Return-Path: <x@y>\r\nSubject: number %d\r\nFrom: a@b\r\nMessage-ID: <%d@x>\r\n\r\n%s\r\n' % (i, i, body)).encode()


def date(rng):
    import time
    at = rng.randrange(1000000000, 1790000000)
    return time.strftime('%d-%b-%Y %H:%M:%S +0000', time.gmtime(at))


def fill(client, rng, count, mailbox='INBOX', make=random_message, flags=FLAGS):
    for i in range(1, count + 1):
        chosen = [f for f in flags if rng.random() < 0.25]
        client.ok('APPEND %s (%s) "%s" {}' % (mailbox, ' '.join(chosen), date(rng)), make(rng, i))


def expunge_some(client, rng, mailbox='INBOX'):
    client.ok('SELECT ' + mailbox)
    count = client.exists
    client.ok('STORE 1:* -FLAGS.SILENT (\\Deleted)')
    for i in sorted({rng.randrange(1, count + 1) for _ in range(count // 5)} | {count}):
        client.ok('STORE %d +FLAGS.SILENT (\\Deleted)' % i)
    client.ok('EXPUNGE')


def rng_of(seed):
    return random.Random(int(os.environ.get('IMPORT_SEED', '20261123')) + seed)
