"""The figures of a run, their table, and the steps that make them."""
import json
import statistics

from servers import Failed, NotSupported, Session


class Results:
    """figures[metric][server] = list of (value, cpu seconds or None) or error texts; units[metric]."""

    def __init__(self):
        self.figures, self.units = {}, {}

    def add(self, server, metric, unit, value, cpu=None):
        self.units[metric] = unit
        self.figures.setdefault(metric, {}).setdefault(server.name, []).append([value, cpu])

    def note(self, server, metric, text):
        self.units.setdefault(metric, "")
        self.figures.setdefault(metric, {}).setdefault(server.name, []).append(text)

    def merge(self, path):
        with open(path) as text:
            data = json.load(text)
        self.units.update(data["units"])
        for metric, by_server in data["figures"].items():
            for name, runs in by_server.items():
                self.figures.setdefault(metric, {}).setdefault(name, []).extend(runs)
        return data["limits"]

    def cell(self, metric, name):
        runs = self.figures[metric].get(name, [])
        values = [r[0] for r in runs if not isinstance(r, str)]
        if not values:
            return runs[0] if runs else ""
        cpus = [r[1] for r in runs if not isinstance(r, str) and r[1] is not None]
        text = show(statistics.median(values))
        if len(values) > 1:
            text += " (%s..%s)" % (show(min(values)), show(max(values)))
        if cpus:
            text += " cpu " + show(statistics.median(cpus) * 1e3)
        return text

    def table(self, names, against, limits):
        head = ["metric", "unit"] + (["limit"] if limits else []) + names
        rows = []
        for metric in self.figures:
            row = [metric, self.units[metric]] + ([limits.get(metric, "")] if limits else [])
            for name in names:
                text = self.cell(metric, name)
                mine, base = self.median(metric, name), self.median(metric, against)
                if against and name != against and mine and base:
                    text += " = %.2fx" % (mine / base)
                row.append(text)
            rows.append(row)
        return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head)] + rows)

    def median(self, metric, name):
        values = [r[0] for r in self.figures[metric].get(name, []) if not isinstance(r, str)]
        return statistics.median(values) if values else None


def show(x):
    return "%.0f" % x if x >= 100 else "%.3g" % x


class Run:
    """One server in one round: each step is measured on its own, and a failing step leaves the others standing."""

    def __init__(self, results, server, size=""):
        self.results, self.server, self.size = results, server, size
        self.session = None

    def open(self):
        if self.session:
            try:
                self.session.close()
            except (Failed, OSError):
                self.session.abort()
        self.session = None
        self.session = Session(self.server).find()
        return self.session

    def step(self, metric, work, unit="ms"):
        """work() returns seconds (unit ms), a value in `unit`, or a pair (value, cpu seconds)."""
        if self.size:
            metric += " [%s]" % self.size
        try:
            value = work()
            value, cpu = value if isinstance(value, tuple) else (value, None)
            self.results.add(self.server, metric, unit, value * 1e3 if unit == "ms" else value, cpu)
            return True
        except NotSupported:
            self.results.note(self.server, metric, "n/a")
        except (Failed, OSError) as error:
            self.results.note(self.server, metric, "error: " + " ".join(str(error).split())[:70].replace("|", "/"))
            if not isinstance(error, Failed) or not str(error).startswith(("NO", "BAD")):
                self.session and self.session.abort()    # the connection is out of step
                self.session = None
        return False

    def never_failed(self, metric):
        """False where an earlier round ended in an error: not worth the same long wait again."""
        runs = self.results.figures.get("%s [%s]" % (metric, self.size), {}).get(self.server.name, [])
        return not any(isinstance(r, str) for r in runs)

    def timed(self, metric, text, count=None, capability=None):
        """A step that is one command; count(response) checks that the answer is whole."""
        def work():
            s = self.session if hasattr(self.session, "capability") else self.reopen()
            if capability and capability not in s.capability:
                raise NotSupported
            answer = s.cmd(text, keep=count is not None)
            if count:
                count(answer)
            return s.elapsed, s.cpu
        return self.step(metric, work)

    def reopen(self):
        """A new session with the mailbox selected, or, if that fails, none."""
        s = self.open()
        try:
            s.capability = s.cmd("CAPABILITY", keep=True).decode().upper().split()
            s.cmd("SELECT " + self.box)
        except (Failed, OSError):
            s.abort()
            self.session = None
            raise
        return s
