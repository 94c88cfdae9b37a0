"""The load of soak.test: connections that speak just enough IMAP, all in one event loop.

A connection understands lines and literals, keeps the number of messages as it was told, and measures from the write of a command
to the octets of its answer. Sessions that work send a command, wait, think; sessions that idle do nothing but listen.
"""
import asyncio
import random
import re
import time

MAILBOXES = ("INBOX", "work", "lists/talk")
FULL = 150                          # messages from which on the workers remove the oldest
PERMITTED = (b"[EXPUNGEISSUED]",)   # another session removed the message that was asked for


class Trouble(Exception):
    pass


class Connection(asyncio.Protocol):
    """One IMAP connection. Untagged lines go to told(); command() waits for the tagged one."""

    def __init__(self, record, name):
        self.record, self.name = record, name
        self.rest, self.literal, self.line = b"", 0, b""
        self.tags, self.waiting, self.tag = 0, None, None
        self.exists, self.exists_at, self.mailbox = 0, 0.0, None
        self.untagged, self.over, self.leaving = 0, False, False
        self.greeting = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, reason):
        self.over = True
        if not self.leaving:
            self.record.wrong(f"{self.name}: the connection ended ({reason})")
        for future in (self.waiting, self.greeting):
            if future and not future.done():
                future.set_exception(Trouble(f"{self.name}: the connection ended"))

    def data_received(self, data):
        self.now = time.perf_counter()
        self.rest += data
        while True:
            if self.literal:
                taken = min(self.literal, len(self.rest))
                self.literal -= taken
                self.rest = self.rest[taken:]
                if self.literal:
                    return
            line, end, rest = self.rest.partition(b"\r\n")
            if not end:
                return
            self.rest = rest
            self.line += line
            found = re.search(rb"\{(\d+)\}$", line)
            if found:
                self.literal = int(found.group(1))
                continue
            line, self.line = self.line, b""
            self.whole_line(line)

    def whole_line(self, line):
        if not self.greeting.done():
            self.greeting.set_result(line)
        elif line.startswith(b"+"):
            if self.waiting and self.tag == b"+":
                self.waiting.set_result((line, self.now))
        elif line.startswith(b"* "):
            self.untagged += 1
            self.told(line[2:])
        elif self.waiting and self.tag and line.startswith(self.tag + b" "):
            self.waiting.set_result((line[len(self.tag) + 1:], self.now))
        else:
            self.record.wrong(f"{self.name}: not understood: {line[:200]!r}")

    def told(self, line):
        words = line.split(b" ", 2)
        if words[0] in (b"BYE", b"NO", b"BAD") and not (words[0] == b"BYE" and self.leaving):
            self.record.wrong(f"{self.name}: {line[:200]!r}")
        elif len(words) > 1 and words[1] == b"EXISTS":
            self.exists, self.exists_at = int(words[0]), self.now
        elif len(words) > 1 and words[1] == b"EXPUNGE":
            self.exists -= 1

    def wait_for(self, tag):
        self.tag = tag
        self.waiting = asyncio.get_running_loop().create_future()
        return asyncio.wait_for(self.waiting, 60)

    async def command(self, text, permitted=()):
        """Sends a command; the status and the seconds. Everything but OK is recorded as wrong unless permitted."""
        if self.over:
            raise Trouble(f"{self.name}: the connection is over")
        self.tags += 1
        tag = b"a%d" % self.tags
        self.untagged = 0
        future = self.wait_for(tag)
        begin = time.perf_counter()
        self.transport.write(tag + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        line, end = await future
        if not line.startswith(b"OK") and not any(p in line for p in permitted):
            self.record.wrong(f"{self.name}: {text[:60]!r}: {line[:200]!r}")
        self.record.commands += 1
        return line, end - begin

    async def log_in(self, user, password):
        await asyncio.wait_for(self.greeting, 60)
        await self.command(f"LOGIN {user} {password}")

    async def select(self, mailbox):
        self.mailbox = mailbox
        await self.command(f"SELECT {mailbox}")

    async def idle(self, seconds):
        """Waits for news, for a while."""
        await self.begin_idle()
        await asyncio.sleep(seconds)
        await self.end_idle()

    async def begin_idle(self):
        self.tags += 1
        future = self.wait_for(b"+")
        self.transport.write(b"a%d IDLE\r\n" % self.tags)
        await future

    async def end_idle(self):
        future = self.wait_for(b"a%d" % self.tags)
        self.transport.write(b"DONE\r\n")
        line, _ = await future
        if not line.startswith(b"OK"):
            self.record.wrong(f"{self.name}: IDLE: {line!r}")

    async def leave(self):
        if not self.over:
            self.leaving = True
            await self.command("LOGOUT")
            self.transport.close()


class Record:
    """What all connections have seen: mistakes, and the seconds that commands took."""

    def __init__(self):
        self.mistakes, self.commands = [], 0
        self.seconds = {}
        self.noops = []                 # when, seconds, mailbox, untagged lines
        self.quiet = True               # before the measured time

    def wrong(self, text):
        if len(self.mistakes) < 100:
            self.mistakes.append(time.strftime("%H:%M:%S ") + text)

    def took(self, what, seconds):
        if not self.quiet:
            self.seconds.setdefault(what, []).append(seconds)


def message(rng, number):
    text = "".join("%s\n" % " ".join("word%d" % rng.randrange(1000) for _ in range(10)) for _ in range(rng.randrange(5, 100)))
    return f"From: s{number % 7}@example.org\nTo: all@example.org\nSubject: number {number}\nMessage-ID: <soak{number}@example.org>\n\n{text}"


class Worker:
    """A session of someone who reads mail: a command, a pause, a command."""

    def __init__(self, connection, seed, rounds):
        self.c, self.rng, self.rounds, self.ready = connection, random.Random(seed), rounds, asyncio.Event()
        self.ways = [(30, self.noop), (14, self.read), (8, self.look), (6, self.flags), (12, self.store), (10, self.search), (8, self.append),
                     (8, self.remove), (4, self.change)]

    def one(self):
        return self.rng.randrange(1, self.c.exists + 1)

    async def noop(self):
        begin = time.time()
        _, seconds = await self.c.command("NOOP")
        if not self.c.record.quiet:
            self.c.record.noops.append((begin, seconds, f"{self.c.name} {self.c.mailbox}", self.c.untagged))
        return seconds

    async def read(self):
        return (await self.c.command(f"FETCH {self.one()} (UID FLAGS BODY[])", PERMITTED))[1]

    async def look(self):
        first = max(1, self.c.exists - 30)
        return (await self.c.command(f"FETCH {first}:{self.c.exists} (UID FLAGS ENVELOPE)", PERMITTED))[1]

    async def flags(self):
        return (await self.c.command("UID FETCH 1:* (FLAGS)", PERMITTED))[1]

    async def store(self):
        what = self.rng.choice(("+FLAGS (\\Seen)", "-FLAGS (\\Seen)", "+FLAGS (\\Flagged)", "+FLAGS (work)", "-FLAGS (work \\Flagged)"))
        return (await self.c.command(f"STORE {self.one()} {what}", PERMITTED))[1]

    async def search(self):
        what = self.rng.choice(("UNSEEN", "SUBJECT number", "FROM s3@example.org SINCE 1-Jan-2026", f"BODY word{self.rng.randrange(1000)}", "KEYWORD work"))
        return (await self.c.command(f"UID SEARCH {what}"))[1]

    async def append(self):
        text = message(self.rng, self.rng.randrange(1 << 30)).replace("\n", "\r\n").encode()
        return (await self.c.command(b"APPEND %s (\\Seen) {%d+}\r\n%s" % (self.c.mailbox.encode(), len(text), text)))[1]

    async def remove(self):
        """The message that is read, and the oldest when the mailbox has become large."""
        some = f"1:{self.c.exists - FULL + 20}" if self.c.exists > FULL else str(self.one())
        await self.c.command(f"STORE {some} +FLAGS.SILENT (\\Deleted)", PERMITTED)
        await asyncio.sleep(self.rng.uniform(0.2, 1))
        return (await self.c.command("EXPUNGE"))[1]

    async def change(self):
        begin = time.perf_counter()
        await self.c.select(self.rng.choice(MAILBOXES))
        return time.perf_counter() - begin

    async def once_all(self):
        """One of each, quickly: after some rounds the heap has about its size."""
        for box in MAILBOXES * self.rounds:
            await self.c.select(box)
            for _, way in self.ways[:-1]:
                await asyncio.sleep(self.rng.uniform(0.05, 0.2))
                await (way if self.c.exists else self.append)()

    async def run(self, stop):
        try:
            await self.once_all()
        finally:
            self.ready.set()
        while not stop.is_set():
            await asyncio.sleep(self.rng.uniform(0.2, 1))
            way = self.rng.choices([w for _, w in self.ways], [n for n, _ in self.ways])[0]
            if self.c.exists == 0:
                way = self.append
            self.c.record.took(way.__name__, await way())


class Idler:
    """A session in IDLE, which begins anew now and then."""

    def __init__(self, connection, seed):
        self.c, self.rng = connection, random.Random(seed)

    async def run(self, stop):
        while not stop.is_set():
            await self.c.begin_idle()
            try:
                await asyncio.wait_for(stop.wait(), self.rng.uniform(20, 300))
            except asyncio.TimeoutError:
                await self.c.end_idle()


async def connect(port, record, name):
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(record, name), "127.0.0.1", port)
    return connection


async def echoes(port, record, stop):
    """What the host alone costs: an answer from a process that does nothing but answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    rng = random.Random(1)
    while not stop.is_set():
        await asyncio.sleep(rng.uniform(0.02, 0.1))
        begin = time.perf_counter()
        writer.write(b"a1 NOOP\r\n")
        await reader.readline()
        record.took("echo", time.perf_counter() - begin)
    writer.close()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0
