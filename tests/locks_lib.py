"""Other programs that lock a mailbox, as they really are: to hold one while it is looked at, and to deliver into one."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ['SRCDIR'], 'tests', 'lib'))
from imapwire import Client, Home, Wrong, wait_for

Home.UID = 65534               # nobody: maildrop and Postfix want a user that the system knows
SMALL = 'From s@example.org Mon Jan  1 00:00:00 2024\nFrom: s@example.org\nSubject: number %d\nMessage-ID: <%d@x>\n\nsmall\n\n'


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            print(program + ' is not installed')
            sys.exit(77)
    if os.getuid() != 0:
        print('needs root')
        sys.exit(77)


class Box(Home):
    """A home with four messages in its inbox, the first three small, the last one of `size` octets."""
    def __init__(self, name, size=1 << 20, timeout=1):
        super().__init__(name, os.environ['IMAPD_PLAIN'], 'lock-timeout = %d\n' % timeout)
        self.patient = self.config + '.patient'
        with open(self.config) as f, open(self.patient, 'w') as g:
            g.write(f.read().replace('lock-timeout = %d' % timeout, 'lock-timeout = 60'))
        with open(self.inbox, 'w') as f:
            for n in range(1, 4):
                f.write(SMALL % (n, n))
            f.write(SMALL.replace('small', 'large') % (4, 4) + 'words and words and words\n' * (size // 26) + '\n')
        self.lock = self.inbox + '.lock'
        self.own()

    def client(self, patient=False, **more):
        argv = self.argv()
        argv[-1] = self.patient if patient else self.config
        return Client(argv, **more)

    def run(self, argv, **more):
        """A program of the user."""
        return subprocess.Popen(self.prefix() + ['env', 'HOME=' + self.dir, 'LOGNAME=nobody', 'TERM=screen'] + argv, cwd=self.dir, **more)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, 0o600)
        os.chown(path, self.UID, self.UID)
        return path

    def kernel_locks(self):
        """(kind, mode, pid) of each on the inbox."""
        inode = os.stat(self.inbox).st_ino
        with open('/proc/locks') as f:
            lines = f.read()
        return [(m[0], m[1], int(m[2])) for m in re.findall(r'^\d+: (\w+) +\w+ +(\w+) (-?\d+) [0-9a-f]+:[0-9a-f]+:%d ' % inode, lines, re.M)]

    def writer(self, kind=None):
        """The process that has a writing lock of the kernel, and is none of ours: those write flags back by themselves."""
        for k, mode, pid in self.kernel_locks():
            if mode == 'WRITE' and pid > 0 and kind in (None, k) and name_of(pid) != 'imapd':
                return pid
        return None


def name_of(pid):
    try:
        with open('/proc/%d/comm' % pid) as f:
            return f.read().strip()
    except OSError:
        return None


def message(n, size=100):
    return 'From: s@example.org\nSubject: delivered %d\nMessage-ID: <d%d@x>\n\n%send %d\n' % (n, n, 'words and words and words\n' * (size // 26), n)


def stop_when(look, seconds=20):
    """Watches as fast as it can until look() names a process, stops that one: its pid."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid = look()
        if pid:
            try:
                os.kill(pid, signal.SIGSTOP)
                with open('/proc/%d/stat' % pid) as f:
                    while f.read().rsplit(')', 1)[1].split()[0] not in 'TZX':
                        f.seek(0)
            except (ProcessLookupError, FileNotFoundError):
                return None
            return pid
    return None


class Missed(Exception):
    """A program could not be stopped while it had the lock: it was too quick."""


def until_caught(test, sizes=(16 << 20, 64 << 20, 160 << 20)):
    for n, size in enumerate(sizes):
        try:
            return test(n, size)
        except Missed:
            if n + 1 == len(sizes):
                raise


class Tmux:
    def __init__(self, box, name, argv):
        self.base = ['env', '-u', 'TMUX', 'tmux', '-f', '/dev/null', '-L', 'imapd-locks-%d-%s' % (os.getpid(), name)]
        command = ' '.join(box.prefix() + ['env', 'HOME=' + box.dir, 'LOGNAME=nobody', 'TERM=screen'] + argv)
        command += '; :'                 # a shell between: tmux lets its own children go on when they are stopped
        subprocess.run(self.base + ['new-session', '-d', '-x', '100', '-y', '30', command], check=True, cwd=box.dir)

    def screen(self):
        return subprocess.run(self.base + ['capture-pane', '-p'], capture_output=True, text=True).stdout

    def wait(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.screen()):
            if time.monotonic() > end:
                raise Wrong('no %r on the screen:\n%s' % (pattern, self.screen()))
            time.sleep(0.05)

    def keys(self, *keys):
        subprocess.run(self.base + ['send-keys'] + list(keys), check=True)

    def close(self):
        subprocess.run(self.base + ['kill-server'], stderr=subprocess.DEVNULL)


class Postfix:
    """A private instance: queue, local delivery agent, no network. Mail to `test` goes into the box."""
    def __init__(self, directory, inbox, order='dotlock, fcntl'):
        self.dir = os.path.abspath(directory)
        self.conf = os.path.join(self.dir, 'conf')
        for d in ('conf', 'queue', 'data'):
            os.makedirs(os.path.join(self.dir, d))
        shutil.chown(os.path.join(self.dir, 'data'), 'postfix')
        daemons = subprocess.run(['postconf', '-hd', 'daemon_directory'], capture_output=True, text=True).stdout.strip()
        with open(os.path.join(self.conf, 'main.cf'), 'w') as f:
            f.write('compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\ncommand_directory = /usr/sbin\n'
                    'daemon_directory = {1}\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = locks.invalid\n'
                    'mydestination = locks.invalid\ninet_interfaces = loopback-only\nalias_maps = texthash:{0}/conf/aliases\n'
                    'alias_database =\nlocal_recipient_maps =\nmaillog_file = {0}/log\nmaillog_file_prefixes = {0}\n'
                    'message_size_limit = 200000000\nmailbox_size_limit = 0\ndeliver_lock_delay = 1s\nmailbox_delivery_lock = {2}\n'
                    'mail_spool_directory = {0}/\nqueue_minfree = 0\n'.format(self.dir, daemons, order))
        with open(os.path.join(self.conf, 'master.cf'), 'w') as f:
            f.write('pickup unix n - n 1 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n'
                    'rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n'
                    'trace unix - - n - 0 bounce\nproxymap unix - - n - - proxymap\nlocal unix - n n - - local\n'
                    'postlog unix-dgram n - n - 1 postlogd\n')
        with open(os.path.join(self.conf, 'aliases'), 'w') as f:
            f.write('test %s\n' % inbox)
        subprocess.run(['postfix', '-c', self.conf, 'start'], check=True, stderr=subprocess.DEVNULL, timeout=30)

    def send(self, text):
        subprocess.run(['sendmail', '-C', self.conf, '-f', '', 'test@locks.invalid'], input=text, text=True, check=True, timeout=30)

    def log(self):
        try:
            with open(os.path.join(self.dir, 'log'), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def close(self):
        """By the master's pid: quicker than `postfix stop`, and it takes its children along."""
        with open(os.path.join(self.dir, 'queue', 'pid', 'master.pid')) as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists('/proc/%d' % pid))


signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))       # so that what was started is ended
