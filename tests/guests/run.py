#!/usr/bin/env python3
"""Runs the guest test kernels and adds up their lines.

Each configuration boots one kernel with its options. A kernel prints
`# NAME` before a test and `ok NAME`, `not ok NAME: ...` or `skip NAME: ...`
after it. When the emulator ends or stands still inside a test, that test has
failed, and the kernel is started again behind it (`after=NAME`).

known-failures.txt holds lines `EMULATOR CONFIG/NAME reason`; EMULATOR is
`rhea` or `qemu`, NAMEs may be globs. A line whose tests all pass is a failure.
Last line: `N passed, N failed`; exit 1 if anything failed.
"""
import argparse
import fnmatch
import os
import re
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

MODELS = ["qemu64", "kvm64", "Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Haswell", "Broadwell", "Skylake-Client",
          "Skylake-Server", "Cascadelake-Server", "Icelake-Server", "Opteron_G1", "Opteron_G2", "Opteron_G3", "Opteron_G4",
          "Opteron_G5", "EPYC", "EPYC-Rome", "EPYC-Milan", "host", "max"]


class Config:
    def __init__(self, name, kernel, args="", append="", accel="tcg", cpu="max", seconds=20, ends=None):
        self.name, self.kernel, self.args, self.append = name, kernel, args.split(), append
        self.accel, self.cpu, self.seconds = accel, cpu, seconds
        self.ends = ends    # the emulator must end by itself, without a verdict, within the time


def configs():
    yield Config("k64", "kernel64", "-device edu -device pci-testdev -device pc-testdev -m 128", "skip=smp_*")
    yield Config("k32", "kernel32")
    yield Config("smp4", "kernel64", "-smp 4 -m 128", "run=smp_*", seconds=60)
    yield Config("smp16", "kernel64", "-smp 16 -m 128", "run=smp_*", seconds=120)
    yield Config("tiny", "kernel64", "-device edu -device pci-testdev -device pc-testdev -m 128", "skip=smp_*", accel="tcg,tb-size=1", seconds=40)
    yield Config("tiny32", "kernel32", accel="tcg,tb-size=1", seconds=40)
    yield Config("tiny-smp4", "kernel64", "-smp 4 -m 128", "run=smp_*", accel="tcg,tb-size=1", seconds=60)
    yield Config("single-smp4", "kernel64", "-smp 4 -m 128", "run=smp_*", accel="tcg,thread=single", seconds=60)
    for model in MODELS:
        yield Config("cpu-" + model, "kernel64", append="run=cpuid_*", cpu=model)
    yield Config("cpu-max,-features", "kernel64", append="run=cpuid_*",
                 cpu="max,-smep,-smap,-umip,-pcid,-invpcid,-pku,-fsgsbase,-rdrand,-rdseed,-xsave,-avx,-avx2,-bmi1,-bmi2,"
                     "-popcnt,-movbe,-aes,-pclmulqdq,-sse4.1,-sse4.2,-ssse3,-cx16,-rdtscp,-pdpe1gb,-la57")
    yield Config("triple-fault", "kernel64", append="run=only_triple_fault", ends=True)


class Runner:
    def __init__(self, options):
        self.options = options
        self.emulator = options.emulator
        version = subprocess.run([self.emulator, "--version"], capture_output=True, text=True, check=False).stdout
        self.kind = "qemu" if "QEMU" in version and "Rhea" not in version else "rhea"
        self.known, self.outcomes = {}, {}
        with open(os.path.join(HERE, "known-failures.txt"), encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split(None, 2)
                if len(words) >= 2 and words[0] == self.kind:
                    self.known[words[1]] = words[2] if len(words) > 2 else ""
        self.passed = self.failed = self.skipped = self.expected = 0

    def known_pattern(self, name):
        for pattern in self.known:
            if fnmatch.fnmatchcase(name, pattern):
                return pattern
        return None

    def verdict(self, config, name, ok, text):
        full = f"{config.name}/{name}"
        pattern = self.known_pattern(full)
        if ok is None:
            self.skipped += 1
            print(f"skip {full}: {text}")
        elif ok:
            self.passed += 1
            print(f"ok {full}")
            if pattern:
                self.outcomes.setdefault(pattern, 0)
        elif pattern:
            self.expected += 1
            self.outcomes[pattern] = self.outcomes.get(pattern, 0) + 1
            print(f"known {full}: {text} ({self.known[pattern] or 'listed'})")
        else:
            self.failed += 1
            print(f"not ok {full}: {text}")
        sys.stdout.flush()

    def stale(self):
        """Lines of the list all of whose tests passed in this run."""
        for pattern, failures in self.outcomes.items():
            if not failures:
                self.failed += 1
                print(f"not ok {pattern}: passes but is listed as a known failure ({self.known[pattern]})")

    def command(self, config, append):
        args = [self.emulator, "-accel", config.accel, "-cpu", config.cpu, "-nodefaults", "-no-user-config", "-display", "none",
                "-serial", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                "-kernel", os.path.join(self.options.kernels, config.kernel + ".elf")]
        if "-m" not in config.args:
            args += ["-m", "64"]
        args += config.args + self.options.extra
        if append:
            args += ["-append", append]
        return args

    def boot(self, config, append):
        """One start: yields output lines; ends with (reason, rest of the diagnostics)."""
        command = self.command(config, append)
        if self.options.verbose:
            print("# " + " ".join(command))
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            buffer, deadline = b"", time.monotonic() + config.seconds * self.options.slow
            why = None
            while why is None:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([p.stdout], [], [], left)[0]:
                    why = f"no output for {config.seconds * self.options.slow:.0f} s"
                    p.kill()
                    break
                data = os.read(p.stdout.fileno(), 65536)
                if not data:
                    break
                deadline = time.monotonic() + config.seconds * self.options.slow
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    yield line.decode("utf-8", "replace").rstrip("\r")
            error = p.stderr.read().decode("utf-8", "replace").strip().splitlines()
            p.wait()
            if why is None:
                why = f"emulator ended with status {p.returncode}"
            self.end = (why, p.returncode, error)

    def run(self, config):
        if config.ends:
            lines = list(self.boot(config, config.append))
            why, status, error = self.end
            entered = any("only_" in line for line in lines)
            ok = entered and status == 0
            self.verdict(config, "ends", ok, why + "".join(": " + e for e in error[-1:]))
            return
        after, tries = "", 0
        while True:
            append = config.append + (f" after={after}" if after else "")
            if self.options.test:
                append = re.sub(r"(run|skip)=\S+", "", append) + " run=" + self.options.test
            current, done = None, False
            for line in self.boot(config, append):
                match = re.match(r"(ok|not ok|skip) (\w+)(?:: (.*))?$", line)
                if match:
                    self.verdict(config, match[2], {"ok": True, "not ok": False, "skip": None}[match[1]], match[3] or "")
                    after, current = match[2], None
                elif line.startswith("# done"):
                    done = True
                elif re.match(r"# \w+$", line) and not line.startswith("# kernel"):
                    current = line[2:]
                elif self.options.verbose or line.startswith("#  ") or line.startswith("# got") or line.startswith("# unexp") or line.startswith("# trap"):
                    print("  " + line)
            if done:
                return
            why, _, error = self.end
            tries += 1
            self.verdict(config, current or "start", False, why + "".join(": " + e for e in error[-1:]))
            if current is None or tries > 60:
                return
            after = current


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", default=os.environ.get("RHEA_SYSTEM", os.path.join(ROOT, "build/release/src/tools/system/rhea-system-x86_64")))
    parser.add_argument("--kernels", default=os.path.join(ROOT, "build/guests"))
    parser.add_argument("--config", default="*", help="only configurations that match this glob")
    parser.add_argument("--test", default="", help="only tests of this name (a trailing * matches the rest)")
    parser.add_argument("--slow", type=float, default=1.0, help="factor on all time limits")
    parser.add_argument("--quick", action="store_true", help="the subset for CI")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("extra", nargs="*", help="further options for the emulator, after --")
    options = parser.parse_args()
    runner = Runner(options)
    quick = {"k64", "k32", "smp4", "tiny", "triple-fault", "cpu-qemu64", "cpu-Haswell", "cpu-EPYC-Rome", "cpu-max"}
    for config in configs():
        if any(fnmatch.fnmatchcase(config.name, glob) for glob in options.config.split(",")) and \
           (not options.quick or config.name in quick):
            runner.run(config)
    runner.stale()
    print(f"# {runner.expected} known failures, {runner.skipped} skipped ({runner.kind}: {runner.emulator})")
    print(f"{runner.passed} passed, {runner.failed} failed")
    sys.exit(1 if runner.failed else 0)


if __name__ == "__main__":
    main()
