"""What imapd is to reach, row by row, and whether a run met it."""
import statistics

from work import SIZES

# (row, what is compared, with what, how much). value: the figure itself; limit, peer: the ratio to the machine's limit, to
# Dovecot; cpu: processor time in ms; cpu rate: MB/s of processor time.
REACH = [
    ("connect to greeting", "limit", "<=", 1.4), ("cycles, sequential", "peer", ">=", 5), ("cycles, 8 at once", "peer", ">=", 5),
    ("private memory, selected [100k]", "value", "<=", 3),
    ("SELECT, first ever [10k]", "limit", "<=", 3), ("SELECT, first ever [100k]", "limit", "<=", 3),
    ("SELECT, again [100k]", "value", "<=", 0.4),
    ("SELECT after one delivery [10k]", "value", "<=", 2), ("SELECT after one delivery [100k]", "value", "<=", 2),
    ("LOGOUT after that [10k]", "value", "<=", 2), ("LOGOUT after that [100k]", "value", "<=", 2),
    ("STATUS [100k]", "value", "<=", 1), ("STATUS after one delivery [100k]", "value", "<=", 2),
    ("FETCH 1:* (FLAGS UID) [100k]", "value", "<=", 15),
    ("FETCH 1:* envelope, structure, date, size [100k]", "value", "<=", 1300), ("same, in a new session [100k]", "value", "<=", 200),
    ("FETCH 1:* BODY.PEEK[] [10k]", "cpu rate", ">=", 1500), ("FETCH 1:* BODY.PEEK[] [100k]", "cpu rate", ">=", 1500),
    ("4 MB message in 64 KB partials [10k]", "cpu", "<=", 4), ("4 MB message in 64 KB partials [100k]", "cpu", "<=", 4),
    ("FETCH 1:* four header fields [100k]", "value", "<=", 100),
    ("SEARCH TEXT absent [10k]", "limit", "<=", 8), ("SEARCH TEXT absent [100k]", "limit", "<=", 8),
    ("SEARCH SUBJECT budget [100k]", "value", "<=", 40), ("SEARCH SINCE [100k]", "value", "<=", 5), ("SEARCH UNSEEN [100k]", "value", "<=", 3),
    ("SORT (DATE) [100k]", "value", "<=", 60), ("SORT (SUBJECT) [100k]", "value", "<=", 120), ("THREAD REFERENCES [100k]", "value", "<=", 300),
    ("STORE of one flag [10k]", "limit", "<=", 2), ("STORE of one flag [100k]", "limit", "<=", 2),
    ("STORE 1:* +FLAGS (\\Seen) [100k]", "value", "<=", 40), ("CHECK after STORE 1:* [100k]", "value", "<=", 400),
    ("APPEND of 10 KB to this mailbox [100k]", "value", ">=", 1500), ("COPY 1:1000 [100k]", "value", "<=", 30),
    ("EXPUNGE of the first message [100k]", "value", "<=", 20), ("EXPUNGE of every second message [10k]", "value", "<=", 60),
    ("IDLE: delivery to EXISTS [10k]", "value", "<=", 3)]
WORDS = {"value": "%s", "limit": "%s x the limit", "peer": "%s x Dovecot", "cpu": "%s ms of processor time", "cpu rate": "%s MB/s of processor time"}


def figure(results, limits, row, kind, name, peer):
    """What is compared, or None where this run has not measured it."""
    runs = [r for r in results.figures.get(row, {}).get(name, []) if not isinstance(r, str)]
    if not runs:
        return None
    if kind in ("cpu", "cpu rate"):
        cpus = [r[1] for r in runs if r[1]]
        if not cpus:
            return None
        cpu = statistics.median(cpus)
        return cpu * 1e3 if kind == "cpu" else SIZES[row.split("[")[-1].rstrip("]")][1] / 1e6 / cpu
    value = results.median(row, name)
    if kind == "value":
        return value
    base = float(limits[row]) if kind == "limit" and row in limits else results.median(row, peer) if kind == "peer" else None
    return value / base if base else None


def judgement(results, limits, name="imapd", peer="dovecot-mbox"):
    """{row: "<= 2: 1.7, met"}."""
    out = {}
    for row, kind, sign, bound in REACH:
        got = figure(results, limits, row, kind, name, peer)
        if got is None:
            continue
        met = got <= bound if sign == "<=" else got >= bound
        out[row] = "at %s %s: %.3g, %s" % ("most" if sign == "<=" else "least", WORDS[kind] % ("%g" % bound), got, "met" if met else "**not met**")
    return out
