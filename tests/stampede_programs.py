"""The programs that stampede.test lets loose on a mailbox beside the sessions."""
import collections
import errno
import fcntl
import mailbox
import os
import pty
import random
import select
import signal
import time

from stampede_lib import NAME, Log, stored


class Deliverer:
    """A delivery agent: fcntl, then the dotlock, without waiting while it holds one of them (Debian); or the dotlock alone.
    The dotlock of a process that died is left to those who know it."""

    def __init__(self, letter, seed, path, rate, deadline, with_fcntl, patience):
        self.letter, self.path, self.rate, self.deadline, self.with_fcntl, self.patience = letter, path, rate, deadline, with_fcntl, patience
        self.rng = random.Random('%d deliver %s' % (seed, letter))
        self.log = Log('delivery ' + letter)
        self.count, self.longest = 0, 0

    def dotlock(self):
        own = '%s.%s%d' % (self.path, self.letter, os.getpid())
        with open(own, 'w') as f:
            f.write('%d\n' % os.getpid())
        try:
            os.link(own, self.path + '.lock')
            return True
        except FileExistsError:
            return False
        finally:
            os.unlink(own)

    def attempt(self, text):
        with open(self.path, 'r+b') as f:
            if self.with_fcntl:
                try:
                    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as e:
                    if e.errno in (errno.EAGAIN, errno.EACCES):
                        return False
                    raise
            if not self.dotlock():
                return False
            try:
                if os.stat(self.path).st_ino != os.fstat(f.fileno()).st_ino:
                    return False                     # replaced by rename before we had the lock
                f.seek(0, 2)
                piece = self.rng.choice([len(text), 4096, 300])
                for at in range(0, len(text), max(piece, len(text) // 20)):
                    f.write(text[at:at + max(piece, len(text) // 20)])
                    f.flush()
                    time.sleep(self.rng.choice([0, 0, 0.001]))
                os.fsync(f.fileno())
                return True
            finally:
                os.unlink(self.path + '.lock')

    def run(self):
        start = time.monotonic()
        while time.monotonic() < self.deadline:
            self.count += 1
            name = '%s%d' % (self.letter, self.count)
            text = stored(name)
            begin = time.monotonic()
            while not self.attempt(text):
                if time.monotonic() > begin + self.patience:
                    self.log.wrong('no lock in %d s for %s' % (self.patience, name))
                    self.count -= 1
                    return self
                time.sleep(self.rng.random() * 0.02)
            self.longest = max(self.longest, time.monotonic() - begin)
            self.log.add('deliver', begin, 'INBOX', name)
            due = start + self.count / self.rate
            time.sleep(max(0, due - time.monotonic()))
        return self


class Expunger:
    """Python's mailbox module removes some messages from INBOX now and then. It writes a new file and renames it."""

    def __init__(self, seed, path, every, deadline, patience):
        self.path, self.every, self.deadline, self.patience = path, every, deadline, patience
        self.rng = random.Random('%d expunger' % seed)
        self.log = Log('expunger')
        self.count, self.longest = 0, 0

    def locked(self):
        """The mailbox, locked, as it was after the lock was had."""
        end = time.monotonic() + self.patience
        while True:
            box = mailbox.mbox(self.path, create=False)
            try:
                box.lock()
                if os.stat(self.path).st_ino == os.fstat(box._file.fileno()).st_ino:
                    return box
                box.unlock()
            except mailbox.ExternalClashError:
                if time.monotonic() > end:
                    raise
            box._file.close()
            time.sleep(self.rng.random() * 0.02)

    def once(self):
        begin = time.monotonic()
        box = self.locked()
        self.longest = max(self.longest, time.monotonic() - begin)
        try:
            by_name = collections.defaultdict(list)
            for key in box.keys():
                name = NAME.search(box.get_bytes(key))
                if not name:
                    self.log.wrong('no message of ours: %r' % box.get_bytes(key)[:300])
                    continue
                by_name[name.group(1).decode()].append(key)
            single = [n for n, keys in by_name.items() if len(keys) == 1]
            gone = self.rng.sample(single, len(single) // 3)
            for name in gone:
                box.remove(by_name[name][0])
            try:
                box.flush()
            except mailbox.ExternalClashError:
                # The rename is done; somebody was faster with a lock on the new file. The dotlock is still ours.
                pass
            for name in gone:
                self.log.add('external', begin, 'INBOX', name)
            self.count += len(gone)
        finally:
            box.unlock()
            box._file.close()

    def run(self):
        while time.monotonic() + self.every < self.deadline:
            time.sleep(self.every)
            try:
                self.once()
            except Exception as e:
                self.log.wrong('%s: %s' % (type(e).__name__, e))
                return self
        return self


class Mutt(Expunger):
    """The same with mutt, which locks, merges what is new, and writes the file anew in place, headers changed."""

    def once(self):
        begin = time.monotonic()
        names = self.names()
        gone = sorted(self.rng.sample(names, min(20, len(names) // 3)))
        if not gone:
            return
        for name in gone:                        # before it: a session may see it at once
            self.log.add('external', begin, 'INBOX', name)
        rc = os.path.join(os.path.dirname(self.path), '.muttrc')
        with open(rc, 'w') as f:
            f.write('set delete=yes quit=yes move=no mark_old=no sort=mailbox-order wait_key=no timeout=1\n')
            f.write('push "<delete-pattern>~s \'stampede (%s)\\\\.\'<enter><sync-mailbox><quit>"\n' % '|'.join(gone))
        pid, tty = pty.fork()
        if pid == 0:
            os.environ.update(TERM='xterm', HOME=os.path.dirname(self.path))
            os.execvp('mutt', ['mutt', '-n', '-F', rc, '-f', self.path])
        self.screen, end = b'', time.monotonic() + self.patience
        while time.monotonic() < end:
            if select.select([tty], [], [], 1)[0]:
                try:
                    self.screen = (self.screen + os.read(tty, 4096))[-3000:]
                except OSError:
                    break
        else:
            os.kill(pid, signal.SIGTERM)
            self.log.wrong('mutt does not end: %r' % self.screen[-1500:])
        os.close(tty)
        os.waitpid(pid, 0)
        self.longest = max(self.longest, time.monotonic() - begin)
        self.count += len(set(gone) - set(self.names()))

    def names(self):
        box = self.locked()
        try:
            found = [NAME.search(box.get_bytes(key)) for key in box.keys()]
        finally:
            box.unlock()
            box._file.close()
        return [n for n, count in collections.Counter(m.group(1).decode() for m in found if m).items() if count == 1]
