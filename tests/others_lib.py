"""What the tests of other programs share: what a session says of a mailbox, deliveries, and the other programs themselves."""
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ['SRCDIR'], 'tests', 'lib'))
from imapwire import Client, Home, Wrong, wait_for
from peers import dovecot_settings

DOVECOT = '/usr/lib/dovecot/imap'


def number(untagged, word):
    for r in untagged:
        if isinstance(r[-1], bytes) and len(r) == 2:
            m = re.search(rb'\[' + word.encode() + rb' (\d+)\]', r[1])
            if m:
                return int(m.group(1))
    return None


class State:
    """UIDVALIDITY, UIDNEXT and the messages: (UID, flags and keywords without \\Recent, subject)."""

    def __init__(self, client, mailbox='INBOX', examine=False):
        got = client.ok(('EXAMINE ' if examine else 'SELECT ') + mailbox)
        self.validity, self.next = number(got, 'UIDVALIDITY'), number(got, 'UIDNEXT')
        self.messages = []
        items = '(UID FLAGS RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER.FIELDS (SUBJECT)])'
        for seq, a in sorted((client.fetch('FETCH 1:* ' + items) if client.exists else {}).items()):
            if len(a['BODY[]']) != a['RFC822.SIZE']:
                raise Wrong('message %d: RFC822.SIZE %d, BODY[] %d' % (seq, a['RFC822.SIZE'], len(a['BODY[]'])))
            subject = a['BODY[HEADER.FIELDS (SUBJECT)]'].decode('latin-1').strip()[8:].strip()
            self.messages.append((a['UID'], frozenset(f for f in map(str, a['FLAGS']) if f != '\\Recent'), subject))

    def flags(self, subject):
        for uid, flags, name in self.messages:
            if name == subject:
                return flags
        raise Wrong('no message %r in %r' % (subject, self.messages))

    def uid(self, subject):
        return next(uid for uid, _, name in self.messages if name == subject)

    def __eq__(self, other):
        return self.validity == other.validity and self.messages == other.messages

    def __repr__(self):
        return 'UIDVALIDITY %s UIDNEXT %s\n' % (self.validity, self.next) + ''.join(
            '  %d %s (%s)\n' % (uid, name, ' '.join(sorted(flags))) for uid, flags, name in self.messages)


clock = [1700000000]


def mail(subject, fields='', body='text\n', sender='s@example.org', top='Received: from a by b\n', when=None):
    """A message as an MDA writes it: From_ line, trace, the sender's header, body, blank line."""
    clock[0] += 61
    return ('From %s %s\n' % (sender, time.asctime(time.gmtime(when or clock[0]))) + top + 'From: <%s>\nSubject: %s\nMessage-ID: <%s@x>\n'
            % (sender, subject, re.sub(r'\W', '', subject)) + fields + '\n' + body + '\n').encode('latin-1')


def user(home, argv, **env):
    """A command line of home's user."""
    setting = ['HOME=' + home.dir, 'USER=other', 'LOGNAME=other', 'TERM=screen', 'MAIL=' + home.inbox] + ['%s=%s' % i for i in env.items()]
    return home.prefix() + ['env', '-u', 'TMUX'] + setting + argv


class Program:
    """Imapd's INBOX, seen by another program."""

    def __init__(self, home):
        self.home = home

    def deliver(self, *messages):
        with open(self.home.inbox, 'ab') as f:
            f.write(b''.join(messages))
        os.chown(self.home.inbox, self.home.UID, self.home.UID)

    def forget(self):
        shutil.rmtree(os.path.join(self.home.dir, '.imapd'), ignore_errors=True)

    def imapd(self, *commands):
        """A session: commands, then what it says, then LOGOUT."""
        c = self.home.client()
        c.ok('SELECT INBOX')
        for command in commands:
            c.ok(command)
        state = State(c)
        c.close()
        return state

    def file(self):
        with open(self.home.inbox, 'rb') as f:
            return f.read()


class Dovecot(Program):
    def __init__(self, home):
        super().__init__(home)
        self.conf = home.dir + '.dovecot.conf'
        run = os.path.join(home.dir, '..', 'run')
        os.makedirs(run, exist_ok=True)
        with open(self.conf, 'w') as f:
            f.write(dovecot_settings(
                'mail_location = mbox:~/dove:INBOX=~/inbox:INDEX=~/doveindex\nlog_path = %s/dovecot.log\nssl = no\nbase_dir = %s\n'
                'mail_privileged_group =\nfirst_valid_uid = 500\nmbox_write_locks = dotlock fcntl\n' % (home.dir, os.path.abspath(run))))
        os.makedirs(home.dir + '/dove', exist_ok=True)
        home.own()

    def client(self):
        return Client(user(self.home, [DOVECOT, '-c', self.conf]))

    def session(self, *commands):
        c = self.client()
        c.ok('SELECT INBOX')
        for command in commands:
            c.ok(command)
        state = State(c)
        c.close()
        return state

    def forget_index(self):
        shutil.rmtree(self.home.dir + '/doveindex', ignore_errors=True)


class Screen:
    """A program in tmux: keys in, screen out."""

    def __init__(self, home, argv, **env):
        self.tmux = ['env', '-u', 'TMUX', 'tmux', '-L', 'imapd-others-%d-%d' % (os.getpid(), time.monotonic_ns()), '-f', '/dev/null']
        command = ' '.join("'%s'" % a for a in user(home, argv, **env))
        subprocess.run(self.tmux + ['new-session', '-d', '-x', '132', '-y', '50', command], check=True, cwd=home.dir)

    def text(self):
        return subprocess.run(self.tmux + ['capture-pane', '-p'], capture_output=True, text=True).stdout

    def until(self, pattern, seconds=20):
        try:
            return wait_for(lambda: re.search(pattern, self.text()), seconds)
        except Wrong:
            raise Wrong('no %r on the screen:\n%s' % (pattern, self.text())) from None

    def keys(self, *keys):
        for key in keys:
            subprocess.run(self.tmux + ['send-keys', key], check=True)

    def ended(self, seconds=20):
        wait_for(lambda: subprocess.run(self.tmux + ['has-session'], stderr=subprocess.DEVNULL).returncode != 0, seconds)

    def close(self):
        subprocess.run(self.tmux + ['kill-server'], stderr=subprocess.DEVNULL)


class Mutt(Program):
    """mutt or neomutt: commands by -e and push, its index read from the screen."""

    def __init__(self, home, program):
        super().__init__(home)
        self.program = program
        self.rc = home.dir + '/muttrc'
        with open(self.rc, 'w') as f:
            f.write('set header_cache="" delete=yes quit=yes move=no confirmappend=no sort=mailbox-order mark_old=yes\n'
                    'set index_format="%4C [%Z] %s" sleep_time=0 folder="~" record="" help=no status_on_top=no\n')
        home.own()

    def open(self):
        return Screen(self.home, [self.program, '-n', '-F', self.rc, '-f', self.home.inbox])

    def index(self):
        """Subject -> the three flag letters that mutt shows; leaves without changing anything."""
        s = self.open()
        try:
            s.until(r'\d+ \[.{3,4}\]')
            time.sleep(0.2)
            out = {m.group(2).strip(): m.group(1) for m in re.finditer(r'^\W*\d+ \[(.{3,4})\] (.*)$', s.text(), re.M)}
            s.keys('x')
            s.ended()
        finally:
            s.close()
        return out

    def change(self, *keys):
        """Keys on the index, then quit with writing."""
        s = self.open()
        try:
            s.until(r'\d+ \[.{3,4}\]')
            s.keys(*keys)
            s.keys('q')
            s.ended()
        finally:
            s.close()


class Alpine(Program):
    """Alpine in tmux; its index shows flags as [*NAD] and keywords."""

    def __init__(self, home):
        super().__init__(home)
        self.rc = home.dir + '/.pinerc'
        with open(self.rc, 'w') as f:
            f.write('personal-name=x\nuser-domain=example.org\ninbox-path=%s\nlast-time-prune-questioned=126.11\n'
                    'last-version-used=9.99\nkeywords=Work\ndefault-fcc=""\nindex-format=MSGNO(4) IMAPSTATUS(8) SUBJECT(30) KEY(20)\n'
                    'feature-list=enable-flag-cmd,enable-flag-screen-implicitly,quit-without-confirm,expunge-without-confirm,'
                    'expunge-without-confirm-everywhere\n' % home.inbox)
        os.makedirs(home.dir + '/mail', exist_ok=True)
        home.own()

    def session(self, *keys):
        """Keys on the index; returns what it shows at first: subject -> (flag letters, keywords)."""
        s = Screen(self.home, ['alpine', '-p', self.rc, '-i'])
        try:
            s.until(r'(?m)^ *\+? *1 +\S.*\n')
            time.sleep(0.3)
            seen = {}
            for line in s.text().split('\n')[1:]:
                if line[:5].strip(' +').isdigit():
                    seen[line[12:43].strip()] = (set(line[5:12]) & set('*UAD'), line[43:].strip())
            for key in keys:
                s.keys(key)
                time.sleep(0.25)
            s.keys('q')
            s.ended()
        finally:
            s.close()
        return seen


def missing(*programs):
    gone = [p for p in programs if shutil.which(p) is None and not os.path.exists(p)]
    if gone:
        print(', '.join(gone) + ' not installed')
        sys.exit(77)


failures = []


def check(what, ok, detail=''):
    if not ok:
        failures.append(what)
        print('FAILED %s\n%s' % (what, detail))
    return ok


def finish():
    print('%d failures' % len(failures))
    sys.exit(1 if failures else 0)
