#!/usr/bin/env python3
"""Nanoseconds a primitive costs a guest, under Rhea and under QEMU's TCG.

    bench/micro.py [--rounds 3] [--only GLOB,GLOB] [--emulator NAME=COMMAND]...
    bench/micro.py --budgets [--rounds 10] [--emulator NAME=COMMAND] [--translate-bench PATH]

Builds bench/micro.cc into a bare kernel and reads the emulator process's CPU
clock at the marks it prints. The minimum of the rounds is shown, next to the
budget where there is one; --check makes a budget that is missed a failure.
--budgets measures only what has one, with the first emulator, and prints a
table of them: the primitives, what translating an instruction costs
(bench/translate.cc on the C library, if translate_bench is built), start to
the first guest instruction and out. What the processor itself takes on this
host can be seen in them: they are met or missed by the machine that runs them.
"""
import argparse
import os
import re
import select
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

BUDGETS = {"syscall_sysret": 60, "page_fault_iret": 200, "tlb_fill_walk": 60, "cr3_keep": 50, "invlpg": 40, "lookup_miss": 60}


TITLES = {"syscall_sysret": "SYSCALL and SYSRET", "page_fault_iret": "page fault and IRET", "tlb_fill_walk": "TLB fill with a walk",
          "cr3_keep": "CR3 load that keeps the TLB", "invlpg": "INVLPG", "lookup_miss": "lookup of a block that exists"}


def build(out):
    os.makedirs(out, exist_ok=True)
    lib = os.path.join(ROOT, "tests/guests/lib")
    flags = ["-m64", "-fpie", "-mcmodel=small", "-std=c++20", "-O2", "-ffreestanding", "-fno-exceptions", "-fno-rtti",
             "-fno-stack-protector", "-fno-threadsafe-statics", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
             "-mgeneral-regs-only", "-mno-red-zone", "-fno-strict-aliasing", "-fno-delete-null-pointer-checks",
             "-fno-tree-loop-distribute-patterns", "-Wall", "-Wextra", "-Wno-array-bounds", "-I", lib, "-DPOOL_PAGES=400"]
    objects = []
    sources = [os.path.join(lib, n) for n in ("boot64.S", "trap64.S", "test.cc", "trap.cc", "paging64.cc", "smp64.cc")]
    for source in sources + [os.path.join(HERE, "micro.cc")]:
        objects.append(os.path.join(out, os.path.basename(source) + ".o"))
        subprocess.run(["g++", *(["-m64"] if source.endswith(".S") else flags), "-c", source, "-o", objects[-1]], check=True)
    linked, image = os.path.join(out, "micro.sym"), os.path.join(out, "micro.elf")
    subprocess.run(["ld", "--no-warn-rwx-segments", "-m", "elf_x86_64", "-z", "max-page-size=4096", "-z", "noexecstack", "--build-id=none",
                    "-T", os.path.join(lib, "kernel.ld"), "-o", linked, *objects], check=True)
    subprocess.run(["objcopy", "-O", "elf32-i386", linked, image], check=True)
    return image


def cpu_clock(pid):
    return time.clock_gettime((~pid << 3) | 2)


def is_rhea(command):
    return "Rhea" in subprocess.run([command.split()[0], "--version"], capture_output=True, text=True, check=False).stdout


def run_all(command, image, names, seconds):
    results = run(command, image, names, seconds)
    if "lookup_miss" in results and is_rhea(command):   # the inline lookup would hit
        results.update(run(command.replace("-accel tcg", "-accel tcg,jump-cache=off"), image, ["lookup_miss"], seconds))
    return results


def run(command, image, names, seconds):
    """One start of the kernel: nanoseconds an operation by name."""
    arguments = command.split() + ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-m", "64",
                                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", image]
    if names != ["*"]:
        arguments += ["-append", "run=" + ",".join(names)]
    results, begin = {}, None
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as p:
        deadline = time.monotonic() + seconds
        buffer = b""
        while time.monotonic() < deadline:
            if not select.select([p.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                print(f"WRONG: {arguments[0]}: no end within {seconds} s, last {list(results)[-1:]}", file=sys.stderr)
                break
            data = os.read(p.stdout.fileno(), 4096)
            if not data:
                break
            now = cpu_clock(p.pid)
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                words = line.decode("ascii", "replace").split()
                if words[:1] == ["@@begin"]:
                    name, count, begin = words[1], int(words[2]), now
                elif words[:1] == ["@@end"]:
                    results[name] = (now - begin) * 1e9 / count
                elif words[:1] == ["not"]:
                    print("WRONG:", " ".join(words), file=sys.stderr)
        p.kill()
    return results


def translate_ns(program):
    """Of the C library's code, the best of five, or None."""
    library = next((p for p in ("/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6") if os.path.exists(p)), None)
    if library is None or not os.path.exists(program):
        return None
    text = subprocess.run([program, library, "5"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"([0-9.]+) at best", text).group(1))


def print_budgets(command, options, image):
    best = {}
    for _ in range(options.rounds):
        for primitive, ns in run_all(command, image, list(BUDGETS), options.timeout).items():
            best[primitive] = min(best.get(primitive, ns), ns)
    rows = [(TITLES[name], limit, best.get(name), "ns") for name, limit in BUDGETS.items()]
    rows.append(("translation of an instruction", 250, translate_ns(options.translate_bench), "ns"))
    import run as programs
    start = programs.measure_start(command, options.out, 21)
    rows.append(("start to the first instruction and out", 10, start and start[0], "ms"))
    print("| budget | limit | measured | met |")
    print("|---|---|---|---|")
    missed = []
    for title, limit, value, unit in rows:
        met = "-" if value is None else "yes" if value <= limit else "no"
        print(f"| {title} | {limit} {unit} | {'-' if value is None else f'{value:.1f} {unit}'} | {met} |")
        if met == "no":
            missed.append(title)
    if options.check and missed:
        sys.exit(f"over budget: {', '.join(missed)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", action="append", metavar="NAME=COMMAND", help="with its accelerator and CPU options")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="*", help="names as the guest kernel takes them: exact or ending in *")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "micro"))
    parser.add_argument("--timeout", type=float, default=180)
    parser.add_argument("--budgets", action="store_true", help="only what has a budget, as a table")
    parser.add_argument("--translate-bench", default=os.path.join(ROOT, "build/release/bench/translate_bench"))
    parser.add_argument("--check", action="store_true", help="exit 1 when the first emulator misses a budget")
    options = parser.parse_args()
    emulators = options.emulator
    if not emulators:
        rhea = os.environ.get("RHEA_SYSTEM", os.path.join(ROOT, "build/release/src/tools/system/rhea-system-x86_64"))
        emulators = [f"rhea={rhea} -accel tcg -cpu max"]
        if shutil.which("qemu-system-x86_64"):
            emulators.append("qemu=qemu-system-x86_64 -accel tcg -cpu max")
    image = build(options.out)
    if options.budgets:
        print_budgets(emulators[0].split("=", 1)[1], options, image)
        return
    best, order = {}, []
    for _ in range(options.rounds):
        for e in emulators:
            name, command = e.split("=", 1)
            for primitive, ns in run_all(command, image, options.only.split(","), options.timeout).items():
                if primitive not in order:
                    order.append(primitive)
                key = (name, primitive)
                best[key] = min(best.get(key, ns), ns)
    columns = [e.split("=", 1)[0] for e in emulators]
    print("| ns | budget | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    missed = []
    for primitive in order:
        cells = [f"{best[c, primitive]:.1f}" if (c, primitive) in best else "-" for c in columns]
        print(f"| {primitive} | {BUDGETS.get(primitive, '')} | " + " | ".join(cells) + " |")
        if primitive in BUDGETS and best.get((columns[0], primitive), 0) > BUDGETS[primitive]:
            missed.append(primitive)
    if options.check and missed:
        sys.exit(f"over budget: {', '.join(missed)}")


if __name__ == "__main__":
    main()
