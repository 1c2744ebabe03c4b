#!/usr/bin/env python3
"""See run.sh. Prints `ok NAME` or `not ok NAME: why`."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("RHEA_BUILD", "build/release"))
PROGRAM = BUILD / "src/tools/system/rhea-system-x86_64"
PLANTED = BUILD / "tests/bisect/rhea-system-planted"
TOOL = pathlib.Path(__file__).with_name("bisect.py")
GUEST = ["-display", "none", "-nodefaults", "-m", "16"]
SWITCHES = ["single=on", "link=off", "groups=off", "slots=off", "superblocks=off", "jump-cache=off", "flag-liveness=off",
            "lazy-flags=off", "far-links=off", "returns=off", "probe=off", "hot=off", "quick-dispatch=off", "prefetch=off", "predict=off", "large-pages=off",
            "tb-size=1", "max-insns=2"]
failed = 0


def report(name, why):
    global failed
    failed += why is not None
    print(f"ok bisect/{name}" if why is None else f"not ok bisect/{name}: {why}", flush=True)


def log_of(folder, number, *words):
    path = pathlib.Path(folder) / f"{number}.log"
    accel = f"tcg,deterministic=on,state-log={path},state-log-every=50000,state-log-to=4000000,state-log-detail=on"
    subprocess.run([PROGRAM, *GUEST, *words, "-accel", accel], check=True, timeout=120, stdin=subprocess.DEVNULL,
                   capture_output=True)
    return path.read_text()


def runs_repeat():
    for words in ([], ["-smp", "3"]):
        with tempfile.TemporaryDirectory() as folder:
            first, second = log_of(folder, 1, *words), log_of(folder, 2, *words)
        if first != second:
            return f"two runs with {words} differ"
        moments = sum(line.startswith("at=") for line in first.splitlines())
        if moments != 80:
            return f"{moments} moments of 80 were written with {words}"
    return None


def bisect(*words):
    done = subprocess.run([sys.executable, TOOL, *words, "--", *GUEST], timeout=300, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def switches_agree():
    for switch in SWITCHES:
        status, text = bisect("--a", switch, "--until", "6000000")
        if status != 0:
            return f"{switch}: {text}"
    return None


def planted_fault_is_found():
    status, text = bisect("--b-program", str(PLANTED), "--until", "5000000")
    values = re.search(r"cpu0 rdx: a ([0-9a-f]+), b ([0-9a-f]+)", text)
    block = re.search(r"block: rip (0x[0-9a-f]+), (\d+) instructions", text)
    if status != 1 or not values or not block:
        return text
    if int(values[1], 16) + 1 != int(values[2], 16) or int(block[2]) > 64:
        return f"not the fault that was planted: {text}"
    return None


def main():
    if not PROGRAM.exists() or not PLANTED.exists():
        print(f"not ok bisect: {PROGRAM} and {PLANTED} must be built")
        return 1
    report("runs_repeat", runs_repeat())
    report("switches_agree", switches_agree())
    report("planted_fault_is_found", planted_fault_is_found())
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
