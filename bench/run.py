#!/usr/bin/env python3
"""Real programs natively and in a guest under one or more emulators.

    bench/run.py [--rounds 5] [--quick] [--programs GLOB,GLOB] [--emulator NAME=COMMAND]...

The programs, their libraries and data go into an initramfs that is also the
root of the native runs (chroot). Compared is the host CPU time of the emulator
process, all threads, from the moment the idle guest is told to run a program
until it says that it is done and waits; natively it is user plus system time.
The guest's clocks are not used. Rounds are interleaved: native, then each
emulator with a fresh boot. Printed are medians, ratios to native and their
geometric means; a checksum that differs from native's makes the run fail.
Also: boot to the first prompt, process start to first guest instruction and
out (`start`), and resident memory, also without guest RAM and translation cache.

Needs root (or user namespaces) for chroot, and network once, for packages
that are not installed (lua, luajit, flac, tcc).
"""
import argparse
import datetime
import fnmatch
import json
import math
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)
import programs as table  # noqa: E402
import workdata  # noqa: E402

QUICK = ["cc1", "python3", "lua", "gzip", "sha256", "x87", "dgemm", "fork-exec", "getpid", "page-faults"]


def run(command, **kw):
    return subprocess.run(command, check=True, **kw)


def script(*name):
    return os.path.join(ROOT, "scripts", "guest", *name)


def which(program):
    return shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")


def cpu_clock(pid):
    """Nanosecond CPU time of a whole process: Linux's clockid for (pid, CPUCLOCK_SCHED)."""
    return time.clock_gettime((~pid << 3) | 2)


def prepare(out, entries, log):
    """The initramfs, the native root and the list of entries that can run."""
    os.makedirs(out, exist_ok=True)
    work = os.path.join(out, "work")
    tree = os.path.join(out, "root")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(work, "programs"))
    for name, flags in (("loops", []), ("loops-avx2", ["-mavx2", "-mfma"])):
        run(["gcc", "-O3", "-static", *flags, "-o", os.path.join(work, name), os.path.join(HERE, "loops.c"), "-lm"])
    run(["gcc", "-O2", "-static", "-o", os.path.join(work, "kernel"), os.path.join(HERE, "kernel.c")])
    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True).stdout.strip()
    workdata.make(work, cc1)

    # All of these, and nothing else that was ever fetched, go into the guest.
    cache = dict(os.environ, RHEA_GUEST_CACHE=os.path.join(ROOT, "build/guest-cache/bench"))
    packages = subprocess.run([script("fetch-package.sh"), "lua5.4", "liblua5.4-0", "luajit", "libluajit-5.1-2",
                               "libluajit-5.1-common", "flac", "libogg0", "libflac12", "tcc"],
                              env=cache, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = [script("make-initramfs.sh"), "--mode", "commands", "--commands", os.path.join(work, "driver.sh"), "--plain",
               "--keep", tree, "--overlay", packages]
    usable = []
    for entry in entries:
        name, _, needs, text = entry
        missing = [n for n in needs if not n.startswith("./") and not which(n) and
                   not os.path.exists(os.path.join(packages, "usr/bin", n))]
        if missing:
            log(f"skip {name}: {', '.join(missing)} not installed and not to be fetched")
            continue
        with open(os.path.join(work, "programs", name + ".sh"), "w", encoding="utf-8") as f:
            f.write(text.replace("$CC1", cc1) + "\n")
        usable.append(entry)
        for need in needs:
            path = None if need.startswith("./") else which(need)
            if path and not os.path.exists(os.path.join(packages, "usr/bin", need)):
                command += ["--program", os.path.realpath(path), "--program", path]
    command += ["--program", cc1, "--program", "/usr/bin/dash", "--program", "/usr/bin/true", "--program", "/usr/bin/cksum"]
    real_python = os.path.realpath("/usr/bin/python3")
    library = f"/usr/lib/{os.path.basename(real_python)}"
    if os.path.isdir(library):
        slim = os.path.join(out, "pythonlib")
        shutil.rmtree(slim, ignore_errors=True)
        shutil.copytree(library, slim, symlinks=True, ignore=shutil.ignore_patterns(
            "test", "tests", "idlelib", "lib2to3", "ensurepip", "pydoc_data", "turtledemo", "tkinter", "config-*", "dist-packages",
            "distutils", "unittest"))
        command += ["--add", f"{slim}:{library}"]
    command += ["--add", f"{work}:/work"]
    run(command + [os.path.join(out, "bench.cpio")])
    return usable, tree


class Native:
    name = "native"

    def __init__(self, tree):
        self.chroot = ["chroot", tree] if os.geteuid() == 0 else ["unshare", "-r", "chroot", tree]
        for node, minor in (("null", 3), ("zero", 5)):
            path = os.path.join(tree, "dev", node)
            if not os.path.exists(path):
                os.mknod(path, 0o20666, os.makedev(1, minor)) if os.geteuid() == 0 else open(path, "w").close()
        os.makedirs(os.path.join(tree, "dev/shm"), exist_ok=True)
        self.tree = tree
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "none", os.path.join(tree, "dev/shm")], check=False).returncode == 0

    def start(self):
        return None

    def run(self, name):
        child = subprocess.Popen(self.chroot + ["/usr/bin/dash", "-c", f". /work/env.sh; dash /work/programs/{name}.sh"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        import hashlib
        return usage.ru_utime + usage.ru_stime, f"{os.waitstatus_to_exitcode(status)} {hashlib.sha256(output).hexdigest()}"

    def stop(self):
        return {}

    def close(self):
        if self.mounted:
            subprocess.run(["umount", os.path.join(self.tree, "dev/shm")], check=False)


class Guest:
    def __init__(self, name, command, kernel, initrd, options):
        self.name, self.options = name, options
        self.command = command.split() + [
            "-m", options.memory, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet loglevel=0 panic=-1 " + options.append]
        self.process = None

    def expect(self, seconds):
        """The next line that begins with @@, or an exception."""
        deadline = time.monotonic() + seconds
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                at = line.find(b"@@")
                if at >= 0:
                    return line[at + 2:].decode("utf-8", "replace").strip()
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise RuntimeError(f"{self.name}: no answer within {seconds} s; last: {self.buffer[-200:]!r}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise RuntimeError(f"{self.name}: the emulator ended; last: {self.buffer[-200:]!r}")
            self.buffer += data

    def say(self, text):
        os.write(self.process.stdin.fileno(), text.encode() + b"\n")

    def start(self):
        self.buffer = b""
        begin = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=None if self.options.verbose else subprocess.DEVNULL)
        self.expect(self.options.timeout)
        return {"boot_cpu": cpu_clock(self.process.pid), "boot_wall": time.monotonic() - begin}

    def run(self, name):
        before = cpu_clock(self.process.pid)
        self.say(name)
        answer = self.expect(self.options.timeout)
        spent = cpu_clock(self.process.pid) - before
        if answer != "end":
            raise RuntimeError(f"{self.name}: {name}: unexpected answer {answer!r}")
        self.say("ack")
        result = self.expect(self.options.timeout)
        if self.expect(self.options.timeout) != "ready":
            raise RuntimeError(f"{self.name}: {name}: guest is not ready")
        return spent, result

    def own_memory(self):
        """Resident MiB of code and index of Rhea's translation cache (known by their names), and of all beside them and
        guest RAM, which is what has half the guest's memory or more."""
        sums, kind = {"own": 0, "code": 0, "index": 0, "ram": 0}, "own"
        with open(f"/proc/{self.process.pid}/smaps", encoding="ascii", errors="replace") as f:
            for line in f:
                first = line.split(None, 1)[0]
                if "-" in first and not first.endswith(":"):
                    begin, end = (int(x, 16) for x in first.split("-"))
                    ram = end - begin >= int(self.options.memory) << 19
                    executed = line.split()[1][2] == "x"    # the same pages as in the writable view
                    kind = "index" if "rhea-code-index" in line else "code" if "rhea-code" in line else "ram" if ram else "own"
                    kind = "ram" if kind == "code" and executed else kind
                elif first == "Rss:":
                    sums[kind] += int(line.split()[1]) / 1024
        return {f"{name}_mib": mib for name, mib in sums.items()}

    def stop(self):
        peak = 0
        info = self.own_memory()
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmHWM"):
                    peak = int(line.split()[1]) // 1024
        self.say("quit")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return {"rss_mib": peak, **info}

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        pass


def measure_start(command, out, times):
    """Median wall milliseconds and peak RSS of a guest whose first instructions leave by isa-debug-exit."""
    image = bytearray(b"\xf4" * 65536)
    image[0xfff0:0xfff7] = bytes([0xb0, 0x00, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd])   # mov al,0; out 0xf4,al; hlt; jmp
    path = os.path.join(out, "start.bin")
    with open(path, "wb") as f:
        f.write(image)
    command = command.split() + ["-m", "16", "-nodefaults", "-no-user-config", "-display", "none", "-bios", path,
                                 "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    walls, peaks = [], []
    for _ in range(times):
        begin = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        walls.append((time.perf_counter() - begin) * 1000)
        peaks.append(usage.ru_maxrss / 1024)
        if child.returncode != 1:
            return None
    return statistics.median(walls), max(peaks)


def geomean(values):
    values = [v for v in values if v]
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else None


def machine():
    model = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo", encoding="ascii") if l.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def report(entries, contenders, results, extra, starts, options):
    lines = [f"Measured {datetime.date.today()} on {machine()}; {options.rounds} interleaved rounds, medians.", ""]
    for c in contenders[1:]:
        version = subprocess.run([c.command[0], "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
        lines.append(f"- {c.name}: `{' '.join(c.command[:c.command.index('-m')])}`, {version[0] if version else 'unknown version'}")
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    lines += [f"- commit {commit.stdout.strip()}", ""]
    guests = contenders[1:]
    two = len(guests) == 2
    lines.append("| program | native s | " + " | ".join(f"{g.name} s | ×" for g in guests) + (" | {1}/{0} |".format(guests[0].name, guests[1].name) if two else " |"))
    lines.append("|---|---|" + "---|---|" * len(guests) + ("---|" if two else ""))
    ratios = {g.name: {} for g in guests}
    for name, group, _, _ in entries:
        native = statistics.median(results["native"][name]) if results["native"].get(name) else None
        cells, seconds = [], []
        for g in guests:
            values = results[g.name].get(name)
            if not values or not native:
                cells.append("failed | ")
                seconds.append(None)
                continue
            s = statistics.median(values)
            seconds.append(s)
            ratios[g.name][name] = s / native
            cells.append(f"{s:.2f} | {s / native:.2f}")
        row = f"| {name} | {native:.3f} | " + " | ".join(cells) if native else f"| {name} | failed | " + " | ".join(cells)
        if two:
            row += f" | {seconds[1] / seconds[0]:.2f}" if all(seconds) else " | "
        lines.append(row + " |")
    for title, wanted in (("user programs", lambda g: g != "kernel"), ("kernel-bound", lambda g: g == "kernel"), ("all", lambda g: True)):
        names = [n for n, g, _, _ in entries if wanted(g)]
        means = [geomean([ratios[g.name].get(n) for n in names]) for g in guests]
        if not all(means):
            continue
        row = f"| **{title}** | | " + " | ".join(f"| **{m:.2f}**" for m in means)
        if two:
            common = [n for n in names if all(n in ratios[g.name] for g in guests)]
            row += f" | **{geomean([ratios[guests[1].name][n] / ratios[guests[0].name][n] for n in common]):.2f}**"
        lines.append(row + " |")
    lines += ["", "| | " + " | ".join(g.name for g in guests) + " |", "|---|" + "---|" * len(guests)]

    def line(title, value):
        lines.append(f"| {title} | " + " | ".join(value(g) for g in guests) + " |")

    def median_of(g, key, unit):
        values = [e[key] for e in extra[g.name] if key in e]
        return f"{statistics.median(values):.2f} {unit}" if values else "-"
    line("boot to the shell, CPU", lambda g: median_of(g, "boot_cpu", "s"))
    line("boot to the shell, wall", lambda g: median_of(g, "boot_wall", "s"))
    line(f"peak RSS with -m {options.memory}", lambda g: median_of(g, "rss_mib", "MiB"))
    line("resident beside guest RAM and translation cache", lambda g: median_of(g, "own_mib", "MiB"))
    line("of the translation cache: code (Rhea's; QEMU's is above)", lambda g: median_of(g, "code_mib", "MiB"))
    line("of the translation cache: index of it", lambda g: median_of(g, "index_mib", "MiB"))
    line("start to first instruction and out", lambda g: f"{starts[g.name][0]:.1f} ms" if starts.get(g.name) else "-")
    line("peak RSS of that, -m 16", lambda g: f"{starts[g.name][1]:.0f} MiB" if starts.get(g.name) else "-")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", action="append", metavar="NAME=COMMAND", help="with its accelerator and CPU options; "
                        "default: this tree's Rhea (or $RHEA_SYSTEM) and QEMU's TCG if it is installed, both -cpu max")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="ten programs, one round")
    parser.add_argument("--programs", default="*")
    parser.add_argument("--memory", default="1024")
    parser.add_argument("--append", default="", help="more kernel command line")
    parser.add_argument("--kernel", help="guest kernel; default: Debian's cloud kernel, fetched")
    parser.add_argument("--timeout", type=float, default=300, help="seconds a program or the boot may take")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench"))
    parser.add_argument("--json", help="also write all single results there")
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser.parse_args()


def main():
    options = parse()
    log = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    entries = [e for e in table.USER + table.KERNEL
               if any(fnmatch.fnmatchcase(e[0], g) for g in options.programs.split(",")) and
               (not options.quick or e[0] in QUICK)]
    if options.quick:
        options.rounds = 1
    entries, tree = prepare(options.out, entries, log)
    kernel = options.kernel or subprocess.run([script("fetch-kernel.sh"), "cloud-amd64"], stdout=subprocess.PIPE, text=True,
                                              check=True).stdout.split()[0]
    emulators = options.emulator
    if not emulators:
        rhea = os.environ.get("RHEA_SYSTEM", os.path.join(ROOT, "build/release/src/tools/system/rhea-system-x86_64"))
        emulators = [f"rhea={rhea} -accel tcg -cpu max"] if os.path.exists(rhea) else []
        if shutil.which("qemu-system-x86_64"):
            emulators.append("qemu=qemu-system-x86_64 -accel tcg -cpu max")
    initrd = os.path.join(options.out, "bench.cpio")
    contenders = [Native(tree)] + [Guest(*e.split("=", 1), kernel, initrd, options) for e in emulators]
    results = {c.name: {} for c in contenders}
    extra = {c.name: [] for c in contenders}
    checks, wrong = {}, []
    try:
        for number in range(options.rounds):
            for c in contenders:
                try:
                    info = c.start() or {}
                    for name, _, _, _ in entries:
                        seconds, check = c.run(name)
                        log(f"round {number + 1} {c.name} {name}: {seconds:.3f} s  {check[:18]}")
                        if c.name == "native":
                            if not check.startswith("0 "):
                                wrong.append(f"{name}: native run failed ({check[:3].strip()})")
                            checks.setdefault(name, check)
                        if check != checks[name]:
                            wrong.append(f"{c.name} {name}: output differs from native's ({check[:20]} / {checks[name][:20]})")
                        else:
                            results[c.name].setdefault(name, []).append(seconds)
                    info.update(c.stop())
                    extra[c.name].append(info)
                except (RuntimeError, OSError) as error:
                    wrong.append(str(error))
                    log(str(error))
                    c.kill()
    finally:
        contenders[0].close()
    starts = {e.split("=", 1)[0]: measure_start(e.split("=", 1)[1], options.out, 5 if options.quick else 21) for e in emulators}
    print(report(entries, contenders, results, extra, starts, options))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"results": results, "extra": extra, "start": starts}, f, indent=1)
    for text in wrong:
        print(f"WRONG: {text}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
