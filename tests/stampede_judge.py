"""Holds what all the sessions, delivery agents and other programs of a stampede did and saw against each other and against
what is there at the end. An answer that a killed session never gave is unknown: its command was done whole, or not at all."""
import collections


class Judge:
    def __init__(self, events, final, move_is_atomic, rewritten=()):
        """events: tuples (kind, begin, end, ...) of all logs; final: {box: (validity, {uid: (name, flags, date)})}; rewritten: boxes whose
        messages another program changed: they may come back under other UIDs, with its flags."""
        self.events = sorted(events, key=lambda e: e[1])
        self.final, self.atomic, self.rewritten = final, move_is_atomic, rewritten
        self.wrong = []
        self.of = collections.defaultdict(list)
        for e in self.events:
            self.of[e[0]].append(e)
        self.name = {}                               # (box, uid): name, of all that were ever seen or told
        self.origin = {}                             # (box, uid): what made it, if it was told
        self.possible = collections.Counter()        # (box, name): how many may have been made besides
        self.removable = collections.defaultdict(set)  # (box, uid): why it may be gone
        self.must_go = {}                            # (box, uid): since when it is known to be gone
        self.outside = collections.Counter()         # (box, name): removals by another program
        self.unsure_moves = []                       # (source box, uid, name, target box)

    def say(self, text, *values):
        self.wrong.append(text % values)

    def run(self):
        self.identities()
        self.creations()
        self.removals()
        self.numbers()
        self.returned()
        self.lost()
        self.doubled()
        self.flags()
        return self.wrong

    # ---- what each UID is

    def is_named(self, box, uid, name):
        if self.name.setdefault((box, uid), name) != name:
            self.say('%s UID %d is %s and %s', box, uid, self.name[box, uid], name)

    def identities(self):
        dates = {}
        for _, begin, end, box, validity, uid, name, date in self.of['see']:
            self.is_named(box, uid, name)
            if dates.setdefault((box, uid), date) != date:
                self.say('%s UID %d (%s): INTERNALDATE was %r, is %r', box, uid, name, dates[box, uid], date)
        for box, (validity, messages) in self.final.items():
            for uid, (name, flags, date) in messages.items():
                self.is_named(box, uid, name)
                if dates.setdefault((box, uid), date) != date:
                    self.say('%s UID %d (%s): INTERNALDATE was %r, is %r at the end', box, uid, name, dates[box, uid], date)
        validities = collections.defaultdict(set)
        for e in self.of['see']:
            validities[e[3]].add(e[4])
        for e in self.of['uidnext']:
            validities[e[3]].add(e[4])
        for box, values in validities.items():
            if len(values | {self.final[box][0]}) != 1:
                self.say('%s had UIDVALIDITY %r', box, values | {self.final[box][0]})

    def made(self, box, uid, name, how):
        self.is_named(box, uid, name)
        if (box, uid) in self.origin:
            self.say('%s UID %d was given twice: %r, %r', box, uid, self.origin[box, uid], how)
        self.origin[box, uid] = how

    def creations(self):
        for e in self.of['append']:
            _, begin, end, box, name, flags, status, validity, uid = e
            if status == 'OK':
                self.made(box, uid, name, e)
            else:
                self.possible[box, name] += 1
        for e in self.of['copy'] + self.of['move']:
            kind, begin, end, source, asked, box, status, validity, pairs = e
            told = dict(pairs or [])
            for uid, name in asked:
                if uid in told:
                    self.made(box, told[uid], name, e)
                elif status == 'unknown' or (kind == 'move' and not self.atomic):
                    self.possible[box, name] += 1
                if kind == 'move' and status == 'unknown':
                    self.unsure_moves.append((source, uid, name, box))

    # ---- what may, must and must not be gone

    def removals(self):
        for _, begin, end, box, uids, sign, flags, status in self.of['store']:
            if sign == '+' and '\\Deleted' in flags:
                for uid in uids:
                    self.removable[box, uid].add('deleted')
        for _, begin, end, source, asked, box, status, validity, pairs in self.of['move']:
            told = dict(pairs or [])
            for uid, name in asked:
                if status == 'unknown':
                    self.removable[source, uid].add('move')
                elif uid in told:
                    self.removable[source, uid].add('move')
                    self.gone(source, uid, end)
        for _, begin, end, box, uid in self.of['gone']:
            self.gone(box, uid, end)
        for _, begin, end, box, name in self.of['external']:
            self.outside[box, name] += 1
        # A copy has the flags of its original, \Deleted too.
        deleted_names = {self.name[k] for k, why in self.removable.items() if 'deleted' in why and k in self.name}
        for key, name in self.name.items():
            if name in deleted_names and (key not in self.origin or self.origin[key][0] in ('copy', 'move')):
                self.removable[key].add('deleted')
        for key, name in self.name.items():
            if self.outside[key[0], name]:
                self.removable[key].add('outside')

    def gone(self, box, uid, when):
        self.must_go[box, uid] = min(when, self.must_go.get((box, uid), when))

    def returned(self):
        for _, begin, end, box, validity, uid, name, date in self.of['see']:
            if begin > self.must_go.get((box, uid), end):
                self.say('%s UID %d (%s) was told as expunged, and read %.3f s later', box, uid, name, begin - self.must_go[box, uid])
        for box, uid in self.must_go:
            if uid in self.final[box][1]:
                self.say('%s UID %d (%s) was told as expunged, and is there at the end', box, uid, self.name.get((box, uid)))

    def lost(self):
        for (box, uid), name in self.name.items():
            if box not in self.rewritten and uid not in self.final[box][1] and not self.removable[box, uid]:
                self.say('%s UID %d (%s) is lost: nobody removed it (%r)', box, uid, name, self.origin.get((box, uid), ('no origin known',))[0])
        for (box, uid), when in self.must_go.items():
            if box not in self.rewritten and (box, uid) in self.name and not self.removable[box, uid]:
                self.say('%s UID %d (%s) was told as expunged, and nobody removed it', box, uid, self.name[box, uid])

    # ---- how many there are

    def doubled(self):
        found = collections.Counter()
        for key, name in self.name.items():
            if key not in self.origin:
                found[key[0], name] += 1
        delivered = collections.Counter((e[3], e[4]) for e in self.of['deliver'])
        for box in self.rewritten:
            self.counted(box, delivered)
        for key in set(found) | set(delivered):
            if key[0] in self.rewritten:
                continue
            if found[key] > delivered[key] + self.possible[key]:
                self.say('%s: %s is there %d times, delivered %d, unknown %d: UIDs %r', key[0], key[1], found[key], delivered[key],
                         self.possible[key], sorted(u for (b, u), n in self.name.items() if b == key[0] and n == key[1]))
            if found[key] < delivered[key] and not self.outside[key]:
                self.say('%s: %s was delivered and is lost', *key)
        for box, uid, name, target in self.unsure_moves:
            left = (box, uid) in self.name and (uid not in self.final[box][1] or (box, uid) in self.must_go)
            if left and self.removable[box, uid] == {'move'} and not found[target, name] and not self.outside[target, name]:
                if sum(m[0] == box and m[1] == uid for m in self.unsure_moves) == 1 and not self.told_move(box, uid):
                    self.say('%s UID %d (%s): its MOVE to %s was cut off, and it is nowhere', box, uid, name, target)
            if self.atomic and not left and found[target, name] and self.possible[target, name] == 1 and not delivered[target, name]:
                self.say('%s UID %d (%s): its MOVE to %s was cut off, and it is in both', box, uid, name, target)

    def counted(self, box, delivered):
        """As many as came, where nobody removed any; never more."""
        there = collections.Counter(name for name, _, _ in self.final[box][1].values())
        told = collections.Counter(self.name[key] for key in self.origin if key[0] == box)
        removable = {self.name[key] for key, why in self.removable.items() if why and key[0] == box and key in self.name}
        for name in {n for b, n in delivered if b == box} | set(told) | set(there):
            came = delivered[box, name] + told[name]
            if there[name] > came + self.possible[box, name]:
                self.say('%s: %s is there %d times, came %d times', box, name, there[name], came)
            if there[name] < came and name not in removable and not self.outside[box, name]:
                self.say('%s: %s is there %d times, came %d times, nobody removed it', box, name, there[name], came)

    def told_move(self, box, uid):
        return any(e[3] == box and uid in dict(e[8] or []) for e in self.of['move'])

    # ---- UIDNEXT

    def numbers(self):
        for box in self.final:
            events = [e for e in self.of['uidnext'] if e[3] == box]
            seen = sorted((e[2], e[5]) for e in self.of['see'] if e[3] == box)
            made = [(e[1], e[8]) for e in self.of['append'] if e[3] == box and e[8]]
            highest, at = 0, 0
            for e in events:
                while at < len(seen) and seen[at][0] < e[1]:
                    highest, at = max(highest, seen[at][1]), at + 1
                if e[5] <= highest:
                    self.say('%s: UIDNEXT %d, but UID %d was seen before', box, e[5], highest)
            ends = sorted((e[2], e[5]) for e in events)
            most, at = 0, 0
            for begin, uid in sorted(made):
                while at < len(ends) and ends[at][0] < begin:
                    most, at = max(most, ends[at][1]), at + 1
                if uid < most:
                    self.say('%s: UIDNEXT %d, but APPEND gave %d later', box, most, uid)

    # ---- flags

    def flags(self):
        """The last STORE that was answered, and that no other one may have undone, holds at the end."""
        changes = collections.defaultdict(list)
        for _, begin, end, box, uids, sign, flags, status in self.of['store']:
            for uid in uids:
                for flag in self.all_flags:
                    if flag in flags:
                        changes[box, uid, flag].append((begin, end, sign in '+=', status))
                    elif sign == '=':
                        changes[box, uid, flag].append((begin, end, False, status))
        how_many = collections.Counter((box, name) for (box, uid), name in self.name.items())
        self.flags_checked = 0
        for box, (_, messages) in self.final.items():
            for uid, (name, flags, _) in messages.items():
                if how_many[box, name] > 1 or box in self.rewritten:
                    continue                         # equal messages may be taken for each other
                for flag in self.all_flags:
                    self.flag(box, uid, name, flag, flag.lower() in flags, changes[box, uid, flag])

    def flag(self, box, uid, name, flag, there, changes):
        done = [c for c in changes if c[3] == 'OK']
        origin = self.origin.get((box, uid))
        if not changes and origin and origin[0] == 'append':
            self.flags_checked += 1
            if there != (flag in origin[5]):
                self.say('%s UID %d (%s): %s %s from APPEND on, and %s at the end', box, uid, name, flag, flag in origin[5], there)
        elif not changes and name[0] in 'de' and not origin and not self.possible[box, name]:
            self.flags_checked += 1
            if there:
                self.say('%s UID %d (%s): has %s, which nobody set', box, uid, name, flag)
        elif done:
            last = max(done)
            if all(c[2] == last[2] or c[1] < last[0] for c in changes):
                self.flags_checked += 1
                if there != last[2]:
                    self.say('%s UID %d (%s): %s was stored as %s at %.3f, and is %s at the end', box, uid, name, flag, last[2], last[0], there)

    all_flags = ()
