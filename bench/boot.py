#!/usr/bin/env python3
"""Boots of whole systems under two emulators, in turn: host CPU time and seconds.

    bench/boot.py [--rounds 3] [--cpus 1,4] [--live-iso FILE] [--emulator NAME=COMMAND]...

`login`: an installed Debian 12 (scripts/guest/make-installed-disk.sh; SeaBIOS, GRUB, systemd) on an IDE disk, until
`login:` is on the serial port. `desktop`: a live CD (--live-iso, as made by scripts/guest/make-live-iso.sh) with a
VGA screen, until the picture is the one at which it will rest: the screen is dumped each second until the guest has
been idle for 15 seconds; the first picture that differs from the last in less than 1 % of its points counts. The
time is that of the emulator's process, all threads. Disks are opened with -snapshot. Needs root once, for the disk.
"""
import argparse
import os
import platform
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def cpu_clock(pid):
    """Nanosecond CPU time of a whole process: Linux's clockid for (pid, CPUCLOCK_SCHED)."""
    return time.clock_gettime((~pid << 3) | 2)


class Machine:
    """One emulator process with a monitor on a socket and its serial port in a file."""

    def __init__(self, command, work, options):
        self.socket_path = os.path.join(work, "monitor")
        self.serial = os.path.join(work, "serial")
        for path in (self.socket_path, self.serial):
            if os.path.exists(path):
                os.unlink(path)
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            shlex.split(command) + ["-accel", "tcg", "-cpu", "max", "-display", "none", "-snapshot", "-serial",
                                    f"file:{self.serial}", "-monitor", f"unix:{self.socket_path},server=on,wait=off"]
            + options, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.monitor = None

    def used(self):
        """(CPU seconds of the process, seconds since its start)"""
        return cpu_clock(self.process.pid), time.monotonic() - self.begin

    def check(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"ended early: {self.process.stderr.read().decode(errors='replace').strip()}")

    def command(self, line):
        if self.monitor is None:
            self.monitor = socket.socket(socket.AF_UNIX)
            self.monitor.connect(self.socket_path)
            self.answer()
        self.monitor.sendall(line.encode() + b"\n")
        return self.answer()

    def answer(self):
        data = b""
        while not data.endswith(b"(qemu) "):
            part = self.monitor.recv(65536)
            if not part:
                raise RuntimeError("the monitor hung up")
            data += part
        return data

    def end(self):
        self.process.kill()
        self.process.wait()


def until_login(machine, limit):
    while time.monotonic() - machine.begin < limit:
        machine.check()
        if os.path.exists(machine.serial) and b"login:" in open(machine.serial, "rb").read():
            return machine.used()
        time.sleep(0.05)
    raise RuntimeError(f"no login: after {limit} s")


def picture(machine, path):
    machine.command(f"screendump {path}")
    with open(path, "rb") as f:
        data = f.read()
    header, _, rest = data.partition(b"\n255\n")
    width, height = (int(x) for x in header.split()[-2:])
    if len(rest) != width * height * 3:
        raise RuntimeError("screendump: a short picture")
    return (width, height), rest


def alike(a, b):
    """Less than 1 % of the rows' sixteenths differ."""
    if a[0] != b[0]:
        return False
    step = a[0][0] * 3 // 16
    parts = range(0, len(a[1]), step)
    different = sum(a[1][i:i + step] != b[1][i:i + step] for i in parts)
    return different * 100 < len(parts)


def until_rest(machine, limit, work):
    """A desktop is at rest when the guest has used less than a quarter of a CPU for 15 seconds, with a picture."""
    samples = []
    while time.monotonic() - machine.begin < limit:
        time.sleep(1)
        machine.check()
        used = machine.used()
        samples.append((used, picture(machine, os.path.join(work, "screen.ppm"))))
        del samples[:-400]
        recent = [s for s in samples if s[0][1] > used[1] - 15]
        quiet = used[0] - recent[0][0][0] < 0.25 * (used[1] - recent[0][0][1])
        if used[1] > 40 and quiet and used[1] - recent[0][0][1] > 13 and samples[-1][1][0][1] >= 600:
            return next(s[0] for s in samples if alike(s[1], samples[-1][1]))
    raise RuntimeError(f"not at rest after {limit} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", default="1,4")
    parser.add_argument("--live-iso")
    parser.add_argument("--only", choices=["login", "desktop"])
    parser.add_argument("--limit", type=int, default=900, help="seconds a boot may take")
    parser.add_argument("--keep", metavar="DIR", help="put the last picture of each desktop there")
    parser.add_argument("--emulator", action="append", metavar="NAME=COMMAND")
    args = parser.parse_args()
    if args.keep:
        os.makedirs(args.keep, exist_ok=True)
    built = os.path.join(ROOT, "build/release/src/tools/system/rhea-system-x86_64")
    emulators = dict(e.split("=", 1) for e in args.emulator or [f"rhea={built}", "qemu=qemu-system-x86_64"])
    boots = {}
    if args.only != "desktop":
        disk = os.path.join(ROOT, "build/guest-cache/installed/disk.img")
        if not os.path.exists(disk):
            subprocess.run([os.path.join(ROOT, "scripts/guest/make-installed-disk.sh"), disk], check=True)
        for cpus in args.cpus.split(","):
            boots[f"login, {cpus} vCPU"] = (["-m", "1G", "-smp", cpus, "-drive", f"file={disk},format=raw"], "login")
    if args.live_iso and args.only != "login":
        boots["desktop, 4 vCPU"] = (["-m", "2G", "-smp", "4", "-cdrom", args.live_iso], "desktop")
    print(f"{platform.node()}: {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, "
          f"load {os.getloadavg()[0]:.1f}")
    for name, (options, kind) in boots.items():
        times = {e: [] for e in emulators}
        for _ in range(args.rounds):
            for emulator, command in emulators.items():
                with tempfile.TemporaryDirectory() as work:
                    machine = Machine(command, work, options)
                    try:
                        if kind == "login":
                            used = until_login(machine, args.limit)
                        else:
                            used = until_rest(machine, args.limit, work)
                            if args.keep:
                                os.replace(os.path.join(work, "screen.ppm"), os.path.join(args.keep, emulator + ".ppm"))
                    finally:
                        machine.end()
                times[emulator].append(used)
                print(f"  {name}: {emulator} {used[0]:.1f} s CPU, {used[1]:.1f} s", flush=True)
        medians = {e: [statistics.median(t[i] for t in ts) for i in (0, 1)] for e, ts in times.items()}
        line = ", ".join(f"{e} {m[0]:.1f} s CPU {m[1]:.1f} s" for e, m in medians.items())
        names = list(emulators)
        if len(names) == 2:
            a, b = (medians[n] for n in names)
            line += f"; {names[1]}/{names[0]}: CPU {b[0] / a[0]:.2f}x, elapsed {b[1] / a[1]:.2f}x"
        print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
