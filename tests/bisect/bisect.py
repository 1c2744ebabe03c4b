#!/usr/bin/env python3
"""Runs one guest twice with different switches of the translator and names the first block after which its state differs.

    tests/bisect/bisect.py [--program FILE] [--a SWITCHES] [--b SWITCHES] [--until N] [--b-program FILE] -- OPTIONS…

--a and --b are what follows `-accel tcg,deterministic=on,` in either run, as in `--a single=on --b ""` (the default);
--until is where to give up, in instructions begun since power-up; OPTIONS are the guest's (-kernel …). Prints what was
found and ends with status 1; status 0: no difference.

How: instructions are counted (Core::retired), and both runs write hashes of registers and RAM when the same number of
them has begun. Where a run is looked at, the block there is cut into single steps, which may hide what is wrong with it.
So a first pass looks at few moments of each run, to find two between which the runs part; from there on every run is
looked at once only, at the end, and the moment is found by halving. A fault in a block from s to e shows at e and not
inside it, so what halving finds is the end of the first block that is wrong, and the run itself says where that began.

Status flags that nothing reads are not kept, so flag-liveness=off is added to both runs, and if that is what differs
the flags are not compared.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("RHEA_BUILD", "build/release"))
PROGRAM = BUILD / "src/tools/system/rhea-system-x86_64"


class Side:
    """One of the two settings."""

    def __init__(self, name, program, switches, guest, folder, compare_flags, seconds):
        self.name, self.program, self.guest, self.seconds = name, program, guest, seconds
        self.folder = folder
        self.compare_flags = compare_flags
        words = [word for word in switches.split(",") if word]
        if compare_flags and not any(word.startswith("flag-liveness") for word in words):
            words.append("flag-liveness=off")
        self.switches = words
        self.path = pathlib.Path(folder) / f"{name}.log"

    def start(self, first, last, every, detail):
        accel = ["tcg", "deterministic=on", *self.switches, f"state-log={str(self.path).replace(',', ',,')}",
                 f"state-log-from={first}", f"state-log-to={last}", f"state-log-every={every}",
                 f"state-log-flags={'on' if self.compare_flags else 'off'}",
                 f"state-log-detail={'on' if detail else 'off'}"]
        self.path.unlink(missing_ok=True)
        words = [str(self.program), *self.guest, "-accel", ",".join(accel)]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, process):
        try:
            _, err = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            err = b""
        if not self.path.exists():
            sys.exit(f"bisect: run {self.name} wrote nothing: {err.decode(errors='replace').strip()}")
        return parse(self.path.read_text(errors="replace"))


def parse(text):
    """A log as a list of moments."""
    moments = []
    for line in text.splitlines():
        if line.startswith("at="):
            fields = dict(word.split("=", 1) for word in line.split())
            moments.append({"at": int(fields["at"]), "block": int(fields["block"]), "rip": int(fields["rip"], 16),
                            "vcpu": int(fields["vcpu"]), "key": (fields["rip"], fields["state"], fields["memory"]),
                            "state": {}, "code": {}, "pages": {}})
        elif line.startswith("  cpu"):
            words = line.split()
            moments[-1]["state"][words[0]] = dict(word.split("=", 1) for word in words[1:])
        elif line.startswith("  code "):
            vcpu, code = line.split()[1].split("=")
            moments[-1]["code"][int(vcpu)] = code
        elif line.startswith("  page "):
            page, value = line.split()[1].split("=")
            moments[-1]["pages"][page] = value
    return moments


class Search:
    def __init__(self, a, b):
        self.sides = (a, b)
        self.runs = 0

    def look(self, first, last, every, detail=False):
        """The moments of both runs."""
        running = [side.start(first, last, every, detail) for side in self.sides]
        self.runs += 2
        return [side.finish(process) for side, process in zip(self.sides, running)]

    def differs(self, at):
        a, b = (moments[-1]["key"] if moments else None for moments in self.look(at, at, 1))
        return a != b

    def window(self, until, every):
        """Two moments between which the runs part, or None."""
        a, b = self.look(every, until, every)
        for n, (x, y) in enumerate(zip(a, b)):
            if x["key"] != y["key"]:
                return (n * every, x["at"])
        if len(a) != len(b):  # one ended, by itself or because of its fault
            return (min(len(a), len(b)) * every, (min(len(a), len(b)) + 1) * every)
        print(f"compared at {len(a)} moments, the last after {a[-1]['at'] if a else 0} instructions")
        return None

    def first_difference(self, low, high):
        # What was looked at on the way may have hidden part of it.
        if not self.differs(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.differs(middle):
                high = middle
            else:
                low = middle
        return high


def show_state(names, a, b):
    for vcpu in sorted(a["state"].keys() | b["state"].keys()):
        x, y = a["state"].get(vcpu, {}), b["state"].get(vcpu, {})
        for key in list(x) + [key for key in y if key not in x]:
            if x.get(key) != y.get(key):
                print(f"  {vcpu} {key}: {names[0]} {x.get(key, '(initial)')}, {names[1]} {y.get(key, '(initial)')}")
    pages = sorted(page for page in a["pages"].keys() | b["pages"].keys() if a["pages"].get(page) != b["pages"].get(page))
    for page in pages[:20]:
        print(f"  memory {page} differs")
    if len(pages) > 20:
        print(f"  and {len(pages) - 20} more pages")


def describe(search, at):
    names = [side.name for side in search.sides]
    ends = [moments[-1] for moments in search.look(at, at, 1, detail=True)]
    begin = max(end["block"] for end in ends)
    whose = names[0] if ends[0]["block"] == begin else names[1]
    print(f"first difference after {at} instructions, on vCPU {ends[0]['vcpu']}")
    if 0 < begin < at:
        start = search.look(begin, begin, 1, detail=True)[0][-1]
        vcpu = start["vcpu"]
        print(f"block: rip {start['rip']:#x}, {at - begin} instructions from {begin} on (as run {whose} has it), "
              f"code {start['code'].get(vcpu, '?')}…")
    for name, end in zip(names, ends):
        print(f"run {name} goes on at rip {end['rip']:#x}")
    show_state(names, *ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROGRAM)
    parser.add_argument("--b-program", help="another program for run b")
    parser.add_argument("--a", default="single=on", help="switches of run a")
    parser.add_argument("--b", default="", help="switches of run b")
    parser.add_argument("--until", type=int, default=100_000_000, help="instructions")
    parser.add_argument("--moments", type=int, default=200, help="of the first pass")
    parser.add_argument("--seconds", type=int, default=600, help="longest a run may take")
    parser.add_argument("guest", nargs="*", help="the guest's options, after --")
    o = parser.parse_args()
    compare_flags = "flag-liveness" not in o.a + o.b
    with tempfile.TemporaryDirectory(prefix="rhea-bisect-") as folder:
        a = Side("a", o.program, o.a, o.guest, folder, compare_flags, o.seconds)
        b = Side("b", o.b_program or o.program, o.b, o.guest, folder, compare_flags, o.seconds)
        search = Search(a, b)
        window = search.window(o.until, max(1, o.until // o.moments))
        if window is None:
            print("no difference")
            return 0
        at = search.first_difference(*window)
        if at is None:
            print(f"the runs part between {window[0]} and {window[1]} instructions only when they are looked at more often")
            return 1
        describe(search, at)
        print(f"({search.runs} runs)")
        return 1


if __name__ == "__main__":
    sys.exit(main())
