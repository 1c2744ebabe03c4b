#!/usr/bin/env python3
"""Throughput inside a guest on two emulators in turn: a Linux guest prints `@@BEGIN NAME`, works, and prints
`@@END NAME VALUE`; what the emulator used of the host's processors between the two is taken from /proc.

  bench/paired.py --rounds N --kernel FILE --initrd FILE [--append TEXT] [--unit MB/s] [--wait SECONDS]
                  [--raw FILE] --case NAME:OPTIONS...

$RHEA_SYSTEM and $QEMU_SYSTEM are the two. Each round runs every case on both, one after the other. Then, a line a
measurement: the medians, how many times as fast Rhea is, and the host's CPU time for the same work in proportion
(seconds divided by what was moved; below 1: Rhea needs less)."""
import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARK = re.compile(r"@@(BEGIN|END) (\S+)(?: ([0-9.]+))?")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(emulator, options, args):
    """{name: (value, CPU seconds)} of one run."""
    command = [emulator, "-accel", "tcg", "-nodefaults", "-display", "none", "-no-reboot", "-m", "512", "-cpu", "max",
               "-serial", "stdio", "-kernel", args.kernel, "-initrd", args.initrd,
               "-append", f"console=ttyS0 quiet panic=-1 {args.append}", *options]
    results, begun = {}, {}
    with subprocess.Popen(["timeout", "-k", "5", str(args.wait), *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        child = 0
        for line in process.stdout:
            if args.verbose:
                sys.stderr.write(line)
            if not (found := MARK.search(line)):
                continue
            if not child:
                with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
                    child = int(f.read().split()[0])
            kind, name, value = found.groups()
            if kind == "BEGIN":
                begun[name] = cpu_seconds(child)
            elif name in begun and value:
                results[name] = (float(value), cpu_seconds(child) - begun[name])
    return results


def main():
    parser = argparse.ArgumentParser()
    for key in ("kernel", "initrd"):
        parser.add_argument("--" + key, required=True)
    parser.add_argument("--append", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unit", default="MB/s")
    parser.add_argument("--wait", type=int, default=300)
    parser.add_argument("--raw")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--seconds", type=float, default=0, help="how long each measurement takes; 0: a fixed amount")
    parser.add_argument("--case", action="append", required=True)
    args = parser.parse_args()
    emulators = {"rhea": os.environ.get("RHEA_SYSTEM", ROOT + "/build/release/src/tools/system/rhea-system-x86_64"),
                 "qemu": os.environ.get("QEMU_SYSTEM", "qemu-system-x86_64")}
    values = {}
    raw = open(args.raw, "a", encoding="utf-8") if args.raw else None
    for round_ in range(args.rounds):
        for case in args.case:
            name, _, options = case.partition(":")
            for emulator, path in emulators.items():
                for what, (value, cpu) in run(path, shlex.split(options), args).items():
                    values.setdefault((name, what), {}).setdefault(emulator, []).append((value, cpu))
                    if raw:
                        raw.write(f"{round_} {name} {what} {emulator} {value} {cpu:.2f}\n")
                        raw.flush()
    print(f"{'':28}{'rhea ' + args.unit:>14}{'qemu ' + args.unit:>14}{'faster':>9}{'rhea CPU s':>12}{'qemu CPU s':>12}{'CPU':>7}")
    for (name, what), pair in values.items():
        if len(pair) != 2:
            print(f"{name + ' ' + what:28} only on {', '.join(pair)}")
            continue
        rate = {k: statistics.median(v for v, _ in runs) for k, runs in pair.items()}
        cpu = {k: statistics.median(c for _, c in runs) for k, runs in pair.items()}
        # For the same amount of data: measurements of a fixed time moved more where they were faster.
        work = {k: statistics.median(c / (v * args.seconds if args.seconds else 1) for v, c in runs)
                for k, runs in pair.items()}
        ratio = work["rhea"] / work["qemu"] if work["qemu"] else float("nan")
        print(f"{name + ' ' + what:28}{rate['rhea']:14.1f}{rate['qemu']:14.1f}{rate['rhea'] / rate['qemu']:9.2f}"
              f"{cpu['rhea']:12.2f}{cpu['qemu']:12.2f}{ratio:7.2f}")


main()
