"""The users of two_hosts.test: what each did, was told, and must find again on the other host."""
import imaplib
import re
import threading
import time

from auth_lib import PASSWORD


class Wrong(Exception):
    pass


LOST = (OSError, EOFError, imaplib.IMAP4.abort)


class Mailbox:
    """What a user knows of one mailbox, over all connections. No host may tell anything else."""

    def __init__(self, name):
        self.name = name
        self.validity, self.modseq = None, 0
        self.uid_of, self.id_of = {}, {}       # by Message-ID, by UID
        self.flagged, self.removed = set(), set()       # Message-IDs: acknowledged

    def selected(self, validity, modseq):
        if self.validity not in (None, validity):
            raise Wrong(f"{self.name}: UIDVALIDITY {self.validity}, then {validity}")
        if modseq < self.modseq:
            raise Wrong(f"{self.name}: HIGHESTMODSEQ {self.modseq}, then {modseq}")
        self.validity, self.modseq = validity, modseq

    def seen(self, uid, mid):
        if self.uid_of.setdefault(mid, uid) != uid or self.id_of.setdefault(uid, mid) != mid:
            raise Wrong(f"{self.name}: {mid} had UID {self.uid_of[mid]}, UID {uid} was {self.id_of.get(uid)}; now {uid} is {mid}")


class User:
    def __init__(self, name, number, address):
        self.name, self.number, self.address = name, number, address
        self.inbox = Mailbox(f"INBOX of {name}")
        self.appended, self.tried = set(), set()       # Message-IDs: acknowledged; begun
        self.going = set()                     # to be expunged; whether that was done was not told
        self.rounds, self.after, self.away = 0, 0, 0.0
        self.c = None

    def log_in(self):
        self.c = imaplib.IMAP4(self.address[0], self.address[1], timeout=8)
        try:
            self.c.login(self.name, PASSWORD)
        except imaplib.IMAP4.error as e:
            raise OSError(str(e)) from e       # nginx: its host is not to be had now
        self.ok(self.c.enable("QRESYNC"))

    def ok(self, answer):
        if answer[0] != "OK":
            raise Wrong(f"{self.name}: {answer}")
        return answer[1]

    def select(self):
        """With what is known, so that the server tells what changed: messages that are gone among them."""
        box = self.inbox
        known = f" (QRESYNC ({box.validity} {box.modseq}))" if box.validity else ""
        typ, data = self.c._simple_command("SELECT", "INBOX" + known)
        self.ok((typ, data))
        self.c.state = "SELECTED"
        codes = {k: self.c.untagged_responses.get(k, [b"0"])[-1] for k in ("UIDVALIDITY", "HIGHESTMODSEQ")}
        box.selected(int(codes["UIDVALIDITY"]), int(codes["HIGHESTMODSEQ"]))

    def look(self):
        """Every message, its flags among them."""
        box, found = self.inbox, {}
        for item in self.ok(self.c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")):
            if not isinstance(item, tuple):
                continue
            uid, flags = int(re.search(rb"UID (\d+)", item[0])[1]), re.search(rb"FLAGS \(([^)]*)\)", item[0])[1]
            mid = re.search(rb"<([^>]+)>", item[1])[1].decode()
            box.seen(uid, mid)
            if mid in found:
                raise Wrong(f"{self.name}: {mid} twice")
            found[mid] = flags
        for mid in (box.flagged & set(found)):
            if b"\\Flagged" not in found[mid]:
                raise Wrong(f"{self.name}: {mid} lost its flag: {found[mid]}")
        self.appended -= self.going - set(found)
        self.going.clear()
        for mid in self.appended - set(found):
            raise Wrong(f"{self.name}: {mid} was acknowledged and is gone")
        for mid in box.removed & set(found):
            raise Wrong(f"{self.name}: {mid} was expunged and is there")
        return found

    def append(self, n):
        mid = f"appended-{self.number}-{n}-{len(self.tried)}@here"
        self.tried.add(mid)
        text = f"From: me@example.org\r\nMessage-ID: <{mid}>\r\nSubject: {n}\r\n\r\n" + f"Line of {n}\r\n" * (n % 50 + 1)
        self.ok(self.c.append("INBOX", None, None, text.encode()))
        self.appended.add(mid)

    def flag(self, found):
        mid = sorted(found)[(self.rounds * 7) % len(found)]
        self.ok(self.c.uid("STORE", str(self.inbox.uid_of[mid]), "+FLAGS", "(\\Flagged)"))
        self.inbox.flagged.add(mid)

    def expunge(self, found):
        own = sorted(x for x in found if x in self.appended)
        if len(own) < 3:
            return
        uid = str(self.inbox.uid_of[own[0]])
        self.ok(self.c.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"))
        self.going.add(own[0])
        self.ok(self.c.uid("EXPUNGE", uid))
        self.going.clear()
        self.inbox.removed.add(own[0])
        self.appended.discard(own[0])

    def round(self):
        if self.c is None:
            self.log_in()
        self.select()
        found = self.look()
        self.append(self.rounds)
        if found:
            self.flag(found)
        if self.rounds % 3 == 2:
            self.expunge(found)
        self.ok(self.c.noop())
        self.rounds += 1
        if self.rounds % 4 == 0:
            self.c.logout()
            self.c = None

    def drop(self):
        if self.c is not None:
            try:
                self.c.shutdown()
            except OSError:
                pass
            self.c = None


class Crowd:
    """Users, each in its turn of one of some threads, until stopped."""

    def __init__(self, users, threads):
        self.stop, self.wrong, self.lock = threading.Event(), [], threading.Lock()
        self.killed = None                      # when a host was
        self.threads = [threading.Thread(target=self.work, args=(users[n::threads],), daemon=True) for n in range(threads)]

    def start(self):
        for t in self.threads:
            t.start()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()

    def work(self, users):
        while not self.stop.is_set():
            for u in users:
                if self.stop.is_set():
                    break
                self.one(u)
        for u in users:
            u.drop()

    def one(self, u):
        try:
            u.round()
            if self.killed:
                u.after += 1
        except LOST as e:
            if self.killed is None:
                with self.lock:
                    self.wrong.append(f"{u.name}: {e!r} before any host was gone")
            u.drop()
            time.sleep(0.1)
        except (Wrong, imaplib.IMAP4.error) as e:
            with self.lock:
                self.wrong.append(f"{e}; {u.rounds} rounds, {u.after} after a host was lost")
            u.drop()
            self.stop.set()
