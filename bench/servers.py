"""What is measured: servers, sessions with them, and what the kernel says about their processes."""
import fcntl
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

clock = time.perf_counter


class NotSupported(Exception):
    pass


class Failed(Exception):
    pass


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for path in glob.glob("/proc/%d/task/*/children" % one):
            try:
                todo += [int(x) for x in open(path).read().split()]
            except OSError:
                pass
    return found


def named(name):
    found = set()
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if open(path).read().strip() == name:
                found.add(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            total += sum(int(open(p).read().split()[0]) for p in glob.glob("/proc/%d/task/*/schedstat" % pid))
        except OSError:
            pass
    return total / 1e9


def memory(pids):
    """(RSS, PSS, private) of the processes together, in MB."""
    total = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
    for pid in pids:
        try:
            for line in open("/proc/%d/smaps_rollup" % pid):
                key, _, rest = line.partition(":")
                if key in total:
                    total[key] += int(rest.split()[0])
        except OSError:
            pass
    if not total["Rss"]:
        raise NotSupported
    return total["Rss"] / 1024, total["Pss"] / 1024, (total["Private_Clean"] + total["Private_Dirty"]) / 1024


class Server:
    def __init__(self, name, section):
        self.name = name
        self.command = shlex.split(section.get("command", ""))
        self.address = (section.get("host"), section.getint("port", 143)) if section.get("host") else None
        self.tls_port = section.getint("tls_port")    # of imaps, where it is a daemon
        self.compress_user = section.get("compress_user", section.get("user"))
        self.user, self.password = section.get("user"), section.get("password")
        self.mail = section.get("mail")               # folder that holds the mailboxes
        self.prefix = section.get("prefix", "")       # what the client puts before a mailbox name
        self.format = section.get("format", "mbox")   # mbox or maildir
        self.index = section.get("index", "").split() # globs of index files, removed before a cold run
        self.process = section.get("process")         # comm of the session process, where it is no child of ours
        self.owner = section.get("owner")             # system user who owns the mailboxes
        self.limit = section.getfloat("limit", 120)   # seconds for one command

    def chown(self, path):
        if self.owner:
            shutil.chown(path, self.owner, self.owner)

    def path(self, box):
        return os.path.join(self.mail, ("." if self.format == "maildir" else "") + box)

    def remove(self, box):
        path = self.path(box)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
        for pattern in self.index:
            for entry in glob.glob(pattern.replace("{box}", box)):
                shutil.rmtree(entry) if os.path.isdir(entry) else os.unlink(entry)

    def install(self, box, source):
        """Put a fresh copy of the mbox `source` in place, without any index."""
        self.remove(box)
        path = self.path(box)
        if self.format == "maildir":
            master = source + ".maildir"
            if not os.path.isdir(master):
                split_to_maildir(source, master)
            subprocess.run(["cp", "-al", master, path], check=True)   # a server renames or removes, never rewrites
            subprocess.run(["chown", "-R", "%s:" % (self.owner or os.getuid()), path], check=True)
        else:
            shutil.copyfile(source, path)
            os.chmod(path, 0o600)
            fd = os.open(path, os.O_RDWR)
            os.fdatasync(fd)
            os.close(fd)
            self.chown(path)

    def deliver(self, box, message):
        """Deliver as an MDA does: under dotlock and fcntl lock, appended; or a new file in a maildir."""
        path = self.path(box)
        if self.format == "maildir":
            name = "%d.M%dP%d.host" % (time.time(), time.time_ns() % 1000000000, os.getpid())
            with open("%s/tmp/%s" % (path, name), "wb") as out:
                out.write(message.partition(b"\n")[2])
            self.chown("%s/tmp/%s" % (path, name))
            os.rename("%s/tmp/%s" % (path, name), "%s/new/%s" % (path, name))
            return
        lock = path + ".lock"
        deadline = clock() + 30
        while True:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError:
                if clock() > deadline:
                    raise Failed("dotlock held for 30 s")
                time.sleep(0.01)
        try:
            with open(path, "ab") as out:
                fcntl.lockf(out, fcntl.LOCK_EX)
                out.write(message)
                out.flush()
        finally:
            os.unlink(lock)


def split_to_maildir(source, master):
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(master, sub))
    data = open(source, "rb").read()
    starts = [m.start() for m in re.finditer(rb"(?m)^From .*\d{4}$", data)] + [len(data)]
    for i, (a, b) in enumerate(zip(starts, starts[1:])):
        with open("%s/cur/%d.M%dP1.host:2," % (master, 1500000000 + i, i), "wb") as out:
            out.write(data[data.index(b"\n", a) + 1:b - 1])


class Session:
    """A connection. cmd() sends one command and times it until the tagged response's last byte."""

    def __init__(self, server, login=True, account=True):
        """account: processor time is asked for around each command. That costs a look at /proc each time, which would be part of
        what is measured where whole sessions are timed."""
        self.account = account
        self.before = named(server.process) if server.process and account else set()
        self.begin(server)
        self.greeting = self.line()
        self.greeting_time = clock() - self.start
        self.preauth = self.greeting.startswith(b"* PREAUTH")
        self.login_time = None
        if not login:
            return
        if not self.preauth:
            self.cmd("LOGIN %s %s" % (server.user, server.password))
            self.login_time = self.elapsed

    def begin(self, server):
        """Connects, and waits for nothing."""
        self.server, self.tag, self.child, self.pids = server, 0, 0, []
        self.buf = bytearray(1 << 20)
        self.connect()
        self.sock.settimeout(server.limit)

    def connect(self):
        if self.server.address:
            self.start = clock()
            self.sock = socket.create_connection(self.server.address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock, theirs = socket.socketpair()
            self.spawn(self.server.command, theirs)

    def spawn(self, command, theirs):
        """Starts the command with the socket, which is closed here."""
        fd = theirs.fileno()
        self.start = clock()
        self.child = os.posix_spawn(command[0], command, os.environ, setsid=True, file_actions=[
            (os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
        theirs.close()

    def find(self):
        """Learn which processes serve this session (slow: not part of any measured time)."""
        if self.child:
            self.pids = descendants(self.child)
        elif self.server.process:
            self.pids = sorted(named(self.server.process) - self.before)
        return self

    def line(self):
        got = b""
        while not got.endswith(b"\n"):
            more = self.sock.recv(65536)
            if not more:
                raise Failed("connection closed" + (": " + got.decode("latin-1") if got else ""))
            got += more
        return got

    def cmd(self, text, keep=False, literal=None):
        """Send a command; returns the response bytes when keep is set. Sets elapsed, cpu, received."""
        self.tag += 1
        tag = b"T%06dT" % self.tag
        if self.child and self.account:
            self.pids = descendants(self.child)
        cpu = cpu_seconds(self.pids)
        start = clock()
        self.sock.sendall(tag + b" " + text.encode() + b"\r\n")
        if literal is not None:
            reply = self.line()
            if not reply.startswith(b"+"):
                raise Failed(reply.decode("latin-1").strip())
            self.sock.sendall(literal + b"\r\n")
        tail, chunks, self.received = b"", [], 0
        done = re.compile(rb"(?:^|\r\n)" + tag + rb" (OK|NO|BAD)([^\r\n]*)\r\n$")
        view = memoryview(self.buf)
        while True:
            try:
                n = self.sock.recv_into(view)
            except TimeoutError:
                raise Failed("no answer in %d s" % self.server.limit)
            if n == 0:
                raise Failed("connection closed: " + tail[-80:].decode("latin-1").strip())
            self.received += n
            if keep:
                chunks.append(bytes(view[:n]))
            tail = (tail + bytes(view[max(0, n - 1024):n]))[-1024:]
            if tail.endswith(b"\r\n"):
                end = done.search(tail)
                if end:
                    break
        self.elapsed = clock() - start
        self.cpu = cpu_seconds(self.pids) - cpu if self.pids else None
        if end[1] != b"OK":
            raise Failed("%s%s" % (end[1].decode(), end[2].decode("latin-1")))
        return b"".join(chunks)

    def close(self):
        """LOGOUT, and wait until the server is gone; sets elapsed to the whole of it."""
        start = clock()
        try:
            self.cmd("LOGOUT")
        finally:
            self.sock.close()
            if self.child:
                os.waitpid(self.child, 0)
                self.child = 0
        self.elapsed = clock() - start

    def abort(self):
        self.sock.close()
        if self.child:
            try:
                os.killpg(self.child, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self.child, 0)
            self.child = 0
