#!/usr/bin/env python3
"""usage: tracker_proxy.py MUTATION PROGRAM ARGUMENT...
Runs an IMAP server on a pipe and passes everything on, but spoils one kind of response now and then: what tracker.test must find."""
import os
import random
import re
import select
import subprocess
import sys


class Spoiler:
    """Takes the server's lines, one at a time, and gives what the client shall see."""

    def __init__(self, mutation):
        self.change = getattr(self, mutation)
        self.rng, self.rate = random.Random(os.getpid()), 0.5 if 'uid' in mutation or 'earlier' in mutation else 0.1

    def line(self, line):
        return self.change(line) if self.rng.random() < self.rate else line

    def drop_fetch(self, line):
        return b'' if re.match(rb'\* \d+ (UID)?FETCH \((UID \d+ )?(MODSEQ \(\d+\) )?FLAGS \([^)]*\)\)\r\n', line) else line

    def change_flags(self, line):
        return re.sub(rb'(\* \d+ (?:UID)?FETCH .*FLAGS \()\\Seen', rb'\1\\Draft', line) if b'\\Draft' not in line else line

    def drop_expunge(self, line):
        return b'' if re.match(rb'\* (\d+ EXPUNGE|VANISHED \d)', line) else line

    def renumber_expunge(self, line):
        m = re.match(rb'\* (VANISHED )?(\d+)( EXPUNGE)?\r\n$', line)
        return b'* %s%d%s\r\n' % (m.group(1) or b'', int(m.group(2)) + 1, m.group(3) or b'') if m and (m.group(1) or m.group(3)) else line

    def change_modseq(self, line):
        return re.sub(rb'MODSEQ \((\d+)\)', lambda m: b'MODSEQ (%d)' % (int(m.group(1)) - 1), line)

    def change_highest(self, line):
        return re.sub(rb'\[HIGHESTMODSEQ (\d+)\]', lambda m: b'[HIGHESTMODSEQ %d]' % (int(m.group(1)) - 5), line)

    def change_copyuid(self, line):
        return re.sub(rb'(\[COPYUID \d+ \S+ (?:\S*[,:])?)(\d+)\]', lambda m: b'%s%d]' % (m.group(1), int(m.group(2)) + 1), line)

    def change_appenduid(self, line):
        return re.sub(rb'(\[APPENDUID \d+ )(\d+)\]', lambda m: b'%s%d]' % (m.group(1), int(m.group(2)) + 1), line)

    def lower_exists(self, line):
        m = re.match(rb'\* (\d+) EXISTS', line)
        return b'* %d EXISTS\r\n' % (int(m.group(1)) - 1) if m and int(m.group(1)) else line

    def drop_exists(self, line):
        return b'' if re.match(rb'\* \d+ EXISTS', line) else line

    def change_search(self, line):
        return re.sub(rb'^(\* (?:SEARCH|ESEARCH .*(?:ALL|MIN)) )(\d+)', lambda m: b'%s%d' % (m.group(1), int(m.group(2)) + 1), line)

    def change_uid(self, line):
        return re.sub(rb'(\* \d+ FETCH \(UID )(\d+)', lambda m: b'%s%d' % (m.group(1), int(m.group(2)) + 1), line)

    def tag_twice(self, line):
        return line * 2 if re.match(rb'k\d+ OK ', line) else line

    def expunge_in_fetch(self, line):
        return b'* 1 EXPUNGE\r\n' + line if re.match(rb'\* \d+ FETCH \(UID \d+ FLAGS .*BODY', line) else line

    def drop_vanished_earlier(self, line):
        return b'' if line.startswith(b'* VANISHED (EARLIER)') else line

    def no_change(self, line):
        return line


def main():
    spoiler = Spoiler(sys.argv[1])
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    buffer, literal, compressed = b'', 0, False
    while True:
        ready, _, _ = select.select([0, child.stdout], [], [])
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                child.stdin.close()
            else:
                child.stdin.write(data)
                child.stdin.flush()
        if child.stdout in ready:
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            buffer += data
            out = b''
            while buffer:
                if compressed or literal:
                    n = len(buffer) if compressed else min(literal, len(buffer))
                    out, buffer, literal = out + buffer[:n], buffer[n:], literal - n
                    continue
                line, end, rest = buffer.partition(b'\n')
                if not end:
                    break
                m = re.search(rb'\{(\d+)\}\r$', line)
                literal, buffer = int(m.group(1)) if m else 0, rest
                compressed = b'COMPRESSIONACTIVE' in line or bool(re.match(rb'k\d+ OK DEFLATE', line))
                out += spoiler.line(line + end)
            view = memoryview(out)
            while view:
                view = view[os.write(1, view):]
    os._exit(child.wait() & 127)


if __name__ == '__main__':
    try:
        main()
    except (BrokenPipeError, ValueError, OSError):
        os._exit(0)
