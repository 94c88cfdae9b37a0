"""Rows beyond the life of one mailbox: TLS and COMPRESS throughput, a cold cache, many sessions at once."""
import contextlib
import glob
import os
import selectors
import socket
import ssl
import zlib

from servers import Failed, NotSupported, Session, clock, descendants, memory, named


class OverTls(Session):
    """imaps on loopback TCP: the server's own port, or a socket that is handed to the command with --tls."""

    def connect(self):
        server = self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if server.address:
            if not server.tls_port:
                raise NotSupported
            self.start = clock()
            raw = socket.create_connection((server.address[0], server.tls_port), server.limit)
        else:
            if os.path.basename(server.command[0]) != "imapd":
                raise NotSupported
            with socket.create_server(("127.0.0.1", 0)) as listening:
                raw = socket.create_connection(listening.getsockname(), server.limit)
                theirs, _ = listening.accept()
            self.spawn(server.command + ["--tls"], theirs)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw)


class Inflating:
    """A socket with DEFLATE in both directions."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b""
        self.inflate, self.deflate = zlib.decompressobj(-15), zlib.compressobj(6, zlib.DEFLATED, -15)

    def sendall(self, octets):
        self.sock.sendall(self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH))

    def recv_into(self, view):
        while not self.rest:
            got = self.sock.recv(1 << 18)
            if not got:
                return 0
            self.rest = self.inflate.decompress(got)
        n = min(len(view), len(self.rest))
        view[:n], self.rest = self.rest[:n], self.rest[n:]
        return n

    def close(self):
        self.sock.close()


@contextlib.contextmanager
def opened(session):
    try:
        yield session
    finally:
        session.abort()


def throughput(session, source):
    session.cmd("FETCH 1:* BODY.PEEK[]")
    if session.received < os.path.getsize(source) * 0.95:
        raise Failed("%d bytes only" % session.received)
    return session.received / session.elapsed / 1e6


def over_tls(run, box, source):
    with opened(OverTls(run.server)) as s:
        s.cmd("SELECT " + box)
        return throughput(s, source)


def compressed(run, box, source):
    server = run.server
    with opened(Session(server, login=False)) as s:
        s.cmd("LOGIN %s %s" % (server.compress_user, server.password))
        if b"COMPRESS=DEFLATE" not in s.cmd("CAPABILITY", keep=True).upper():
            raise NotSupported
        s.cmd("SELECT " + box)
        s.find()
        s.cmd("COMPRESS DEFLATE")
        s.sock = Inflating(s.sock)
        return throughput(s, source), s.cpu


def drop(paths):
    """Out of the page cache: everything where that is permitted, else these files."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as out:
            out.write("1\n")
    except OSError:
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def files(server, box):
    out = []
    for top in [server.path(box)] + [x for p in server.index for x in glob.glob(p.replace("{box}", box))]:
        out += [top] if os.path.isfile(top) else [os.path.join(d, f) for d, _, names in os.walk(top) for f in names]
    return out


def cold(run, box, name):
    with opened(Session(run.server).find()) as s:
        drop(files(run.server, name))
        s.cmd("SELECT " + box)
        return s.elapsed


def idle_sessions(run, box, count=64):
    sessions, before = [], named(run.server.process) if run.server.process else set()
    try:
        for _ in range(count):
            sessions.append(Session(run.server))
            sessions[-1].cmd("SELECT " + box)
        if run.server.process:
            pids = named(run.server.process) - before
        else:
            pids = {p for s in sessions for p in descendants(s.child)}
        if len(pids) < count:
            raise NotSupported
        return memory(pids)[2]
    finally:
        for s in sessions:
            s.abort()


def logins_at_once(server, count=200):
    """Seconds until the last of so many connections, all begun at once, has its login answered with OK."""
    login = b"a LOGIN %s %s\r\n" % (server.user.encode(), server.password.encode())
    answers, sessions, start = {}, [], clock()
    try:
        with selectors.DefaultSelector() as waiting:
            for _ in range(count):
                s = Session.__new__(Session)
                s.account = False
                s.begin(server)
                sessions.append(s)
                waiting.register(s.sock, selectors.EVENT_READ, s)
                answers[s] = b""
            left = count
            while left:
                ready = waiting.select(server.limit - (clock() - start))
                if not ready:
                    raise Failed("%d of %d logins not answered in %d s" % (left, count, server.limit))
                for key, _ in ready:
                    s = key.data
                    got = s.sock.recv(65536)
                    if not got:
                        raise Failed("a connection was refused or closed")
                    greeted = b"\n" in answers[s]
                    answers[s] += got
                    if not greeted and b"\n" in answers[s]:
                        s.sock.sendall(login)
                    last = answers[s].splitlines(keepends=True)[-1]
                    if last.startswith(b"a ") and last.endswith(b"\n"):
                        if not last.startswith(b"a OK"):
                            raise Failed("login: " + last.decode("latin-1").strip())
                        waiting.unregister(s.sock)
                        left -= 1
        return clock() - start
    finally:
        for s in sessions:
            s.abort()


def more_group(run, quick):
    server = run.server
    source = os.path.join(run.dir, "10k.mbox")
    name = "more"
    box = server.prefix + name
    server.install(name, source)
    with opened(Session(server)) as s:
        s.cmd("SELECT " + box)
        s.cmd("FETCH 1:* (FLAGS UID)")
        s.close()
    run.step("TLS: FETCH 1:* BODY.PEEK[]", lambda: over_tls(run, box, source), "MB/s")
    run.step("COMPRESS: FETCH 1:* BODY.PEEK[]", lambda: compressed(run, box, source), "MB/s")
    run.step("SELECT, cold cache", lambda: cold(run, box, name))
    run.step("64 idle sessions, private memory", lambda: idle_sessions(run, box), "MB")
    run.step("200 logins at once", lambda: logins_at_once(server))
    server.remove(name)
