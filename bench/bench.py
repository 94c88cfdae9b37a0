#!/usr/bin/env python3
"""Measure IMAP servers: the same work for each, interleaved, so that the ratios hold on a noisy machine.

    bench.py [--quick] [--rounds N] [--against NAME] [--only GROUP,...] [--json FILE] --dir DIR SERVERS.ini [NAME...]

SERVERS.ini names the servers (see servers.example.ini); DIR holds the scratch mailboxes made by mkmbox.py. Each
figure is the median over the rounds, with (min..max); for a command, "cpu" is the server's own processor time for
it, which other load on the machine disturbs less. A figure that a server does not support is "n/a"; one that fails
is the error. Nothing is estimated.
"""
import argparse
import configparser
import glob
import json
import os
import signal
import subprocess
import sys

import mkmbox
from results import Results, Run, show
from servers import Failed, Server, clock
from work import GROUPS, SIZES

HERE = os.path.dirname(os.path.abspath(__file__))


def physical_limits(folder, source):
    """Build and run limits.c; returns its figures as {name: value}."""
    binary = os.path.join(folder, "limits")
    subprocess.run(["cc", "-O2", "-static", "-o", binary, os.path.join(HERE, "limits.c")], check=True)
    text = subprocess.run([binary, source, folder], check=True, capture_output=True, text=True).stdout
    print(text, file=sys.stderr)
    return {row[0]: float(row[1]) for row in (line.split("\t") for line in text.splitlines())}


def limit_column(figures):
    """For each metric that has one, the least time (or greatest rate) that the machine allows."""
    column = {"connect to greeting": show(figures["spawn to first byte"]),
              "cycles, sequential": show(1e3 / figures["spawn to first byte"])}
    for size, (_, total) in SIZES.items():
        mb = total / 1e6
        for metric, value in (
                ("SELECT, first ever", mb / figures["scan From_ (memmem)"] * 1e3),
                ("FETCH 1:* BODY.PEEK[]", figures["sendfile to socketpair"]),
                ("SEARCH TEXT absent", mb / figures["search absent (memmem)"] * 1e3),
                ("STORE of one flag", figures["overwrite 16 B + fdatasync"]),
                ("APPEND of 10 KB to a new mailbox", 1e3 / figures["append 10 KB + fdatasync"]),
                ("APPEND of 10 KB to this mailbox", 1e3 / figures["append 10 KB + fdatasync"]),
                ("EXPUNGE of the first message", mb / figures["shift file in place"] * 1e3)):
            column["%s [%s]" % (metric, size)] = show(value)
    return column


def prepare(folder, groups):
    """The corpora that the groups need, made once."""
    if not os.path.exists(folder + "/tiny.mbox"):
        mkmbox.write_mbox(folder + "/tiny.mbox", messages=20, seed=3)
    for size in sorted({"10k" if g == "more" else g for g in groups} & set(SIZES)):
        if not os.path.exists("%s/%s.mbox" % (folder, size)):
            mkmbox.write_mbox("%s/%s.mbox" % (folder, size), *SIZES[size])


def machine_limits(folder):
    source = sorted(glob.glob(folder + "/10*k.mbox"), key=os.path.getsize)[-1:] or [folder + "/tiny.mbox"]
    return limit_column(physical_limits(folder, source[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no 100k mailbox, fewer connections, 2 rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--against", help="print ratios to this server")
    parser.add_argument("--only", help="groups, of: " + ",".join(GROUPS))
    parser.add_argument("--json", help="also write the raw figures to this file, after each server in a round")
    parser.add_argument("--no-limits", action="store_true", help="do not measure the machine's limits")
    parser.add_argument("--merge", nargs="+", metavar="FILE", help="measure nothing: print these --json files as one")
    parser.add_argument("--dir", default=".", help="scratch folder, on the file system of the mailboxes")
    parser.add_argument("servers", help="the .ini file; with --merge, any word")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    results = Results()
    if args.merge:
        limits = {}
        for path in args.merge:
            limits.update(results.merge(path))
        names = args.names or sorted({name for row in results.figures.values() for name in row})
        print(results.table(names, args.against, limits))
        return
    ini = configparser.ConfigParser(interpolation=None)
    with open(args.servers) as text:
        ini.read_file(text)
    servers = [Server(name, ini[name]) for name in (args.names or ini.sections())]
    groups = args.only.split(",") if args.only else ["connection", "10k"] + ([] if args.quick else ["100k"])
    rounds = args.rounds or (2 if args.quick else 3)
    prepare(args.dir, groups)
    limits = {} if args.no_limits else machine_limits(args.dir)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        measure(args, servers, groups, rounds, results, limits)
    except KeyboardInterrupt:
        print("interrupted: what was measured so far", file=sys.stderr)
    print(results.table([s.name for s in servers], args.against, limits))


def measure(args, servers, groups, rounds, results, limits, progress=None):
    """progress(words), if given, is called after each server in a round, in place of a line on stderr."""
    for group in groups:
        for number in range(rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                start = clock()
                run = Run(results, server, group if group in SIZES else "")
                run.dir = args.dir
                try:
                    GROUPS[group](run, args.quick)
                except (Failed, OSError) as error:
                    print("%s: %s: given up: %s" % (server.name, group, error), file=sys.stderr)
                finally:
                    if run.session:
                        run.session.abort()
                    words = "%s, round %d: %s took %.1f s" % (group, number + 1, server.name, clock() - start)
                    progress(words) if progress else print(words, file=sys.stderr)
                    if args.json:
                        with open(args.json, "w") as out:
                            json.dump({"figures": results.figures, "units": results.units, "limits": limits}, out)


if __name__ == "__main__":
    main()
