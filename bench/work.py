"""The work that every server does: each function is one server in one round of a group."""
import os
import select
import statistics
import threading
import time

from more import more_group
from servers import Failed, NotSupported, Session, clock, descendants, memory, named

SETTLE = 2.2    # servers distrust a file time as old as its own clock tick; a mailbox at rest is older than that
SIZES = {"10k": (10000, 100_000_000), "100k": (100000, 1_000_000_000)}


def connection_group(run, quick):
    server = run.server
    n = 10 if quick else 20
    greetings, logins, logouts = [], [], []

    def once():
        for _ in range(n):
            s = Session(server)
            greetings.append(s.greeting_time)
            if s.login_time is not None:
                logins.append(s.login_time)
            s.close()
            logouts.append(s.elapsed)
        return statistics.median(greetings)

    def median_of(values):
        if not values:
            raise NotSupported
        return statistics.median(values)

    def cycle():
        s = Session(server, account=False)
        s.cmd("SELECT %scycle" % server.prefix)
        s.close()

    def sequential():
        start = clock()
        for _ in range(n):
            cycle()
        return n / (clock() - start)

    def concurrent():
        errors = []

        def worker():
            try:
                for _ in range(n // 2):
                    cycle()
            except (Failed, OSError) as error:
                errors.append(error)
        workers = [threading.Thread(target=worker) for _ in range(8)]
        start = clock()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if errors:
            raise errors[0]
        return 8 * (n // 2) / (clock() - start)

    server.install("cycle", os.path.join(run.dir, "tiny.mbox"))
    run.step("connect to greeting", once)
    run.step("LOGIN", lambda: median_of(logins))
    run.step("LOGOUT to end of process", lambda: median_of(logouts))
    run.step("cycles, sequential", sequential, "1/s")
    run.step("cycles, 8 at once", concurrent, "1/s")

    def unauthenticated():
        before = named("imap-login") if server.address else None
        s = Session(server, login=False)
        try:
            if not s.child:
                pids = sorted(named(server.process + "-login") - before) if server.process else []
                return memory(pids)[1]
            return memory(descendants(s.child))[1]
        finally:
            s.abort()
    run.step("PSS before login", unauthenticated, "MB")
    server.remove("cycle")


def exactly(n, what=b" FETCH ("):
    def check(answer):
        got = answer.count(what)
        if got < n:
            raise Failed("%d of %d responses" % (got, n))
    return check


def mailbox_group(run, quick):
    server, size = run.server, run.size
    messages, _ = SIZES[size]
    source = os.path.join(run.dir, size + ".mbox")
    name = "box" + size
    run.box = box = server.prefix + name
    extra = open(os.path.join(run.dir, "tiny.mbox"), "rb").read()
    extra = extra[:extra.index(b"\n\nFrom ") + 2]
    big = size != "10k"

    def select_fresh():
        s = run.open()
        s.cmd("SELECT " + box)
        return s.elapsed, s.cpu

    def logout():
        s, run.session = run.session, None
        if s is None:
            raise Failed("no session")
        s.close()
        return s.elapsed

    server.install(name, source)
    for other in ("copy", "app"):
        server.remove(other)
    run.step("SELECT, first ever", select_fresh)
    run.step("LOGOUT after the first SELECT", logout)
    time.sleep(SETTLE)
    run.step("SELECT, again", select_fresh)
    for which, label in enumerate(("RSS", "PSS", "private memory")):
        run.step("%s, selected" % label, lambda: memory(run.session.pids)[which], "MB")
    run.step("LOGOUT after SELECT", logout)
    server.deliver(name, extra)
    run.step("SELECT after one delivery", select_fresh)
    run.step("LOGOUT after that", logout)

    def status():
        s = run.open()
        s.cmd("STATUS %s (MESSAGES UNSEEN UIDNEXT)" % box)
        return s.elapsed, s.cpu
    run.open().close()
    run.session = None
    time.sleep(SETTLE)
    run.step("STATUS", status)
    server.deliver(name, extra)
    run.step("STATUS after one delivery", status)
    run.open().close()
    run.session = None
    total = messages + 2
    whole = exactly(total)
    run.timed("FETCH 1:* (FLAGS UID)", "FETCH 1:* (FLAGS UID)", whole)
    items = "(ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)"
    run.timed("FETCH 1:* envelope, structure, date, size", "FETCH 1:* " + items, whole)
    run.timed("same, second time", "FETCH 1:* " + items, whole)
    if run.session:
        run.step("RSS, after the envelopes", lambda: memory(run.session.pids)[0], "MB")

    def again():
        s = run.open()
        s.cmd("SELECT " + box)
        whole(s.cmd("FETCH 1:* " + items, keep=True))
        return s.elapsed, s.cpu
    run.step("same, in a new session", again)
    run.session and run.open().close()
    run.session = None
    fields = "BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)]"
    run.timed("FETCH 1:* four header fields", "FETCH 1:* " + fields, whole)
    run.timed("same fields, second time", "FETCH 1:* " + fields, whole)

    def bodies():
        s = run.session or run.reopen()
        s.cmd("FETCH 1:* BODY.PEEK[]")
        if s.received < os.path.getsize(source) * 0.95:
            raise Failed("%d bytes only" % s.received)
        return s.received / s.elapsed / 1e6, s.cpu
    run.step("FETCH 1:* BODY.PEEK[]", bodies, "MB/s")

    def partials():
        s = run.session or run.reopen()
        n, at = messages // 2 + 1, 0
        start, cpu = clock(), 0
        while at < 4 << 20:
            s.cmd("FETCH %d BODY.PEEK[]<%d.65536>" % (n, at))
            if s.received < 65536:
                raise Failed("short partial")
            at, cpu = at + 65536, cpu + (s.cpu or 0)
        return clock() - start, cpu
    run.step("4 MB message in 64 KB partials", partials)
    run.timed("SEARCH SUBJECT budget", "SEARCH SUBJECT budget")
    run.timed("SEARCH SUBJECT budget, second time", "SEARCH SUBJECT budget")
    run.timed("SEARCH TEXT absent", "SEARCH TEXT zqxjkvbpabsent")
    run.timed("SEARCH UNSEEN", "SEARCH UNSEEN")
    run.timed("SEARCH SINCE", "SEARCH SINCE 1-Jan-2018")
    run.timed("SORT (DATE)", "SORT (DATE) UTF-8 ALL", capability="SORT")
    run.timed("SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL", capability="SORT")
    run.timed("THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL", capability="THREAD=REFERENCES")

    def single_store():
        s = run.session or run.reopen()
        times, cpu = [], []
        for n in range(1, 21):
            s.cmd("STORE %d +FLAGS (\\Flagged)" % (n * messages // 25))
            times.append(s.elapsed)
            cpu.append(s.cpu or 0)
        return statistics.median(times), statistics.median(cpu)
    run.step("STORE of one flag", single_store)
    run.timed("CHECK after it", "CHECK")
    run.timed("STORE 1:* +FLAGS (\\Seen)", "STORE 1:* +FLAGS (\\Seen)", whole)
    run.timed("CHECK after STORE 1:*", "CHECK")
    run.step("LOGOUT after all this", logout)

    mail = extra.partition(b"\n")[2].split(b"\n\n", 1)[0] + b"\n\n" + b"x" * 70 + b"\n"
    mail = (mail + (b"y" * 71 + b"\n") * 140)[:10 * 1024 - 200].replace(b"\n", b"\r\n") + b"\r\n"

    def append_to(target, count):
        def work():
            s = run.open()
            try:
                s.cmd("CREATE " + server.prefix + target)
            except Failed:
                pass
            s.cmd("APPEND %s {%d}" % (server.prefix + target, len(mail)), literal=mail)
            start, cpu = clock(), 0
            for _ in range(count):
                s.cmd("APPEND %s {%d}" % (server.prefix + target, len(mail)), literal=mail)
                cpu += s.cpu or 0
            return count / (clock() - start), cpu / count
        return work
    run.step("APPEND of 10 KB to a new mailbox", append_to("app", 40), "1/s")
    run.step("APPEND of 10 KB to this mailbox", append_to(name, 10), "1/s")
    run.session and run.session.abort()
    run.session = None

    def copy():
        s = run.session or run.reopen()
        try:
            s.cmd("CREATE %scopy" % server.prefix)
        except Failed:
            pass
        s.cmd("COPY 1:1000 %scopy" % server.prefix)
        return s.elapsed, s.cpu
    run.step("COPY 1:1000", copy)
    run.timed("STORE 1 \\Deleted", "STORE 1 +FLAGS (\\Deleted)")
    run.timed("EXPUNGE of the first message", "EXPUNGE", exactly(1, b" EXPUNGE"))
    if not big:
        def every_second():
            s = run.session or run.reopen()
            wanted = ",".join(str(n) for n in range(1, messages, 2))
            if len(wanted) > 8000:      # sets that long exceed some servers' line limits
                odd = [str(n) for n in range(1, messages, 2)]
                for k in range(0, len(odd), 1000):
                    s.cmd("STORE %s +FLAGS.SILENT (\\Deleted)" % ",".join(odd[k:k + 1000]))
            else:
                s.cmd("STORE %s +FLAGS.SILENT (\\Deleted)" % wanted)
            answer = s.cmd("EXPUNGE", keep=True)
            exactly(messages // 2, b" EXPUNGE")(answer)
            return s.elapsed, s.cpu
        run.step("EXPUNGE of every second message", every_second)

    patience = 5 if quick else 75

    def idle():
        s = run.session or run.reopen()
        if "IDLE" not in s.capability:
            raise NotSupported
        s.sock.sendall(b"I1 IDLE\r\n")
        if not s.line().startswith(b"+"):
            raise Failed("no continuation")
        time.sleep(0.3)
        start = clock()
        server.deliver(name, extra)
        got = b""
        while b" EXISTS" not in got:
            left = patience - (clock() - start)
            if left <= 0 or not select.select([s.sock], [], [], left)[0]:
                raise OSError("no EXISTS in %d s" % patience)
            more = s.sock.recv(65536)
            if not more:
                raise OSError("connection closed")
            got += more
        took = clock() - start
        s.sock.sendall(b"DONE\r\n")
        s.line()
        return took
    if not big and run.never_failed("IDLE: delivery to EXISTS"):
        run.step("IDLE: delivery to EXISTS", idle)
    if run.session:
        run.step("LOGOUT at the end", logout)
    for other in (name, "copy", "app"):
        server.remove(other)


GROUPS = {"connection": connection_group, "10k": mailbox_group, "more": more_group, "100k": mailbox_group}
