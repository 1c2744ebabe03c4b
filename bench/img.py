#!/usr/bin/env python3
"""rhea-img side by side with qemu-img, and with what the host itself can do.

    bench/img.py [--rounds 5] [--size 2048] [--only GLOB,GLOB] [--directory /dev/shm] [--img PATH] [--check]

The source is an image of holes, zeros, compressible and random data, in the
page cache (best on a tmpfs: the default). Rounds are interleaved: for each
case rhea-img, qemu-img and the physical limit (cp, dd, zstd -T2, pigz) one
after the other, wall-clock seconds from start to end of the process; each
round in another order. Printed are medians, the ratio of qemu-img's to ours,
the largest resident memory of the process and, where one is written, the size
of the target against qemu-img's. --check makes a goal that is missed a failure.
"""
import argparse
import fnmatch
import os
import platform
import random
import shutil
import statistics
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MIB = 1 << 20
MEMORY_GOAL = 64.0


class Case:
    """Commands as templates: {img} is the program, {out} the target, other names are files of the folder."""

    def __init__(self, name, command, goal, limit=None, before=None, limit_name="", size_goal=None, milliseconds=None,
                 repeat=1, within=None, unit="s"):
        self.name, self.command, self.goal = name, command, goal
        self.limit, self.limit_name, self.before = limit, limit_name, before
        self.size_goal, self.milliseconds, self.repeat, self.within = size_goal, milliseconds, repeat, within
        self.in_milliseconds = milliseconds is not None or unit == "ms"


def convert(source, target, goal, options="", within=1.1):
    name = f"{source} to {target}" + (f" {options}" if options else "")
    source_format = source.split()[0]
    return Case(name, f"{{img}} convert -f {source_format} -O {target} {options} {source_format} {{out}}", goal,
                "cp --sparse=auto raw {out}", limit_name="cp", within=within)


def cases():
    table = [convert(source, target, 1.2) for source in ("raw", "qcow2", "vdi", "vpc")
             for target in ("raw", "qcow2", "vdi", "vpc") if source != target]
    table += [convert("raw", "vmdk", 2, within=None), convert("vmdk", "raw", 2, within=None),
              convert("qcow2", "vmdk", 2, within=None), convert("vmdk", "qcow2", 2, within=None)]
    small = "-f raw -O {target} {options} small {{out}}"

    def packed(name, target, options, goal, limit, limit_name, size_goal):
        return Case(name, "{img} convert " + small.format(target=target, options=options).replace("{{out}}", "{out}"), goal, limit,
                    limit_name=limit_name, size_goal=size_goal)

    table += [
        packed("raw to qcow2 -c", "qcow2", "-c", 3, "sh -c 'pigz -6 -p2 <small >{out}'", "pigz -6 -p2", 1.10),
        packed("raw to qcow2 -c zstd", "qcow2", "-c -o compression_type=zstd", 1.6, "zstd -q -f -T2 small -o {out}", "zstd -T2", 1.01),
        packed("raw to vmdk streamOptimized", "vmdk", "-o subformat=streamOptimized", 3, "sh -c 'pigz -6 -p2 <small >{out}'",
               "pigz -6 -p2", 1.10),
        Case("qcow2 -c to raw", "{img} convert -f qcow2 -O raw packed {out}", 1.2, "sh -c 'pigz -d -c <small.gz >{out}'",
             limit_name="pigz -d"),
        Case("compare", "{img} compare -f raw -F qcow2 raw qcow2", 1.5, "cmp raw copy", limit_name="cmp"),
        Case("check qcow2 1 TiB", "{img} check -f qcow2 mapped", 1.5, "dd if=mapped.tables of=/dev/null bs=1M status=none",
             limit_name="dd tables"),
        Case("snapshot create", "{img} snapshot -c s {out}", 1.5, before="cp --sparse=auto qcow2 {out}", unit="ms", repeat=3),
        Case("create qcow2 20G", "{img} create -q -f qcow2 {out} 20G", None, milliseconds=3, repeat=9),
        Case("create qcow2 64T", "{img} create -q -f qcow2 {out} 64T", None, milliseconds=3, repeat=9),
        Case("create raw 20G", "{img} create -q -f raw {out} 20G", None, milliseconds=3, repeat=9),
        Case("create vdi 2T", "{img} create -q -f vdi {out} 2T", None, "dd if=/dev/zero of={out} bs=256k count=32 status=none",
             limit_name="dd 8 MiB", milliseconds=3, repeat=9),
        Case("create vpc 2040G", "{img} create -q -f vpc {out} 2040G", None, "dd if=/dev/zero of={out} bs=256k count=16 status=none",
             limit_name="dd 4 MiB", milliseconds=3, repeat=9),
        Case("create vmdk 2T", "{img} create -q -f vmdk {out} 2T", None, milliseconds=3, repeat=9),
        Case("create vmdk 60T", "{img} create -q -f vmdk {out} 60T", None, "dd if=/dev/zero of={out} bs=256k count=60 status=none",
             limit_name="dd 15 MiB", milliseconds=3, repeat=9),
        Case("create vhdx 64T", "{img} create -q -f vhdx {out} 64T", None, "dd if=/dev/zero of={out} bs=256k count=33 status=none",
             limit_name="dd 8 MiB", milliseconds=3, repeat=9),
        Case("create qcow2 64G metadata", "{img} create -q -f qcow2 -o preallocation=metadata {out} 64G", 1.5,
             "dd if=/dev/zero of={out} bs=256k count=40 status=none", limit_name="dd 10 MiB", unit="ms", repeat=3),
        Case("info qcow2", "{img} info qcow2", None, milliseconds=3, repeat=9),
        Case("info qcow2 1 TiB", "{img} info mapped", None, milliseconds=3, repeat=9),
        Case("info vmdk", "{img} info vmdk", None, milliseconds=3, repeat=9),
    ]
    return table


def compressible(generator, length):
    """Text of a small vocabulary, of which deflate keeps about a third."""
    words = [bytes(generator.choices(b"etaoinshrdlucmfwyp", k=generator.randrange(2, 9))) for _ in range(3000)]
    out = bytearray()
    while len(out) < length:
        out += b" ".join(generator.choices(words, weights=range(3000, 0, -1), k=2000)) + b"\n"
    return bytes(out[:length])


def make_source(path, size, generator):
    """Holes, zeros, compressible and random data in runs of 4 KiB to 8 MiB."""
    text, noise, at = compressible(generator, 16 * MIB), generator.randbytes(16 * MIB), 0
    with open(path, "wb") as out:
        out.truncate(size)
        while at < size:
            length = min(size - at, generator.choice([4096, 65536, 300 * 1024, MIB, 4 * MIB, 8 * MIB]))
            kind = generator.choices(["hole", "zero", "text", "noise"], weights=[35, 10, 35, 20])[0]
            start = generator.randrange(0, 8 * MIB) & ~511
            out.seek(at)
            if kind == "zero":
                out.write(bytes(length))
            elif kind != "hole":
                out.write((text if kind == "text" else noise)[start:start + length])
            at += length


def make_mapped(path, tables_path, clusters):
    """A qcow2 image of 64 KiB clusters, all mapped: tables and refcounts, the data itself is a hole."""
    bits, per_table, per_block = 16, 8192, 32768
    tables = clusters // per_table
    l1_clusters = (tables * 8 + 65535) >> bits
    metadata = 1 + l1_clusters + tables
    total = metadata + clusters
    blocks = (total + per_block) // (per_block - 1) + 1
    refcount_table_clusters = (blocks * 8 + 65535) >> bits
    total += blocks + refcount_table_clusters
    with open(path, "wb") as out:
        refcount_table = 1 + l1_clusters
        first_block = refcount_table + refcount_table_clusters
        first_table = first_block + blocks
        first_data = first_table + tables
        out.write(struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, bits, clusters << bits, 0, tables, 1 << bits,
                              refcount_table << bits, refcount_table_clusters, 0, 0, 0, 0, 0, 4, 104))
        out.seek(1 << bits)
        out.write(struct.pack(f">{tables}Q", *((1 << 63) | (first_table + i) << bits for i in range(tables))))
        out.seek(refcount_table << bits)
        out.write(struct.pack(f">{blocks}Q", *((first_block + i) << bits for i in range(blocks))))
        out.seek(first_block << bits)
        for i in range(blocks):
            ones = min(max(total - i * per_block, 0), per_block)
            out.write(b"\0\1" * ones + bytes(2 * (per_block - ones)))
        for i in range(tables):
            start = first_data + i * per_table
            out.write(struct.pack(f">{per_table}Q", *((1 << 63) | (start + j) << bits for j in range(per_table))))
        out.truncate(total << bits)
    with open(tables_path, "wb") as out:
        out.write(bytes((blocks + tables) << bits))


def prepare(folder, size, small):
    generator = random.Random(4)
    make_source(os.path.join(folder, "raw"), size, generator)
    make_source(os.path.join(folder, "small.holes"), small, generator)
    run("cp --sparse=never small.holes small", folder)
    run("cp --sparse=auto raw copy", folder)
    for fmt in ("qcow2", "vdi", "vpc", "vmdk"):
        run(f"qemu-img convert -f raw -O {fmt} raw {fmt}", folder)
    run("qemu-img convert -c -f raw -O qcow2 small packed", folder)
    if shutil.which("pigz"):
        run("sh -c 'pigz -6 -p2 <small >small.gz'", folder)
    make_mapped(os.path.join(folder, "mapped"), os.path.join(folder, "mapped.tables"), (1 << 40) >> 16)


def prepare_apart(folder, size, small):
    """In a process of its own: a program's peak begins with that of the process that starts it."""
    child = os.fork()
    if child == 0:
        try:
            prepare(folder, size, small)
        except BaseException as error:  # pylint: disable=broad-except
            print(error, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("the images could not be made")


def split(command):
    if command.startswith("sh -c '"):
        return ["sh", "-c", command[len("sh -c '"):-1]]
    return command.split()


def run(command, folder):
    """Seconds and largest resident MiB. (What is smaller than this script itself shows as the script.)"""
    words = split(command)
    null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    os.chdir(folder)
    start = time.perf_counter()
    child = os.posix_spawnp(words[0], words, os.environ, file_actions=null)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{command}: status {status}")
    return seconds, usage.ru_maxrss / 1024


def remove(path):
    if os.path.exists(path):
        os.unlink(path)


def measure(case, programs, folder, rounds, generator):
    """By contender: seconds, MiB, bytes on disk of the target."""
    out = os.path.join(folder, "out")
    found = {name: ([], [], []) for name in programs}
    contenders = {name: case.command.replace("{img}", program) for name, program in programs.items()}
    if case.limit and shutil.which(split(case.limit)[0]) and shutil.which(case.limit_name.split()[0]):
        contenders["limit"] = case.limit
        found["limit"] = ([], [], [])
    for _ in range(rounds * case.repeat):
        for name in generator.sample(sorted(contenders), len(contenders)):
            remove(out)
            if case.before:
                run(case.before.replace("{out}", out), folder)
            seconds, memory = run(contenders[name].replace("{out}", out), folder)
            found[name][0].append(seconds)
            found[name][1].append(memory)
            found[name][2].append(os.stat(out).st_blocks * 512 if os.path.exists(out) else 0)
    remove(out)
    return found


def report(case, found, statistic):
    """One row; returns what missed its goal."""
    time_of = {name: statistic(values[0]) for name, values in found.items()}
    memory = max(found["rhea"][1])
    ratio = time_of["qemu"] / time_of["rhea"]
    missed = []
    if case.goal and ratio < case.goal:
        missed.append(f"{ratio:.2f} < {case.goal} times")
    if case.within and "limit" in time_of and time_of["rhea"] > time_of["limit"] * case.within:
        missed.append(f"{time_of['rhea'] / time_of['limit']:.2f} of {case.limit_name}")
    # A map that has to be written takes what writing its bytes takes.
    if case.milliseconds and time_of["rhea"] * 1000 >= case.milliseconds and time_of["rhea"] > 1.2 * time_of.get("limit", 0):
        missed.append(f"{time_of['rhea'] * 1000:.1f} ms")
    if memory >= MEMORY_GOAL:
        missed.append(f"{memory:.0f} MiB")
    ours, theirs = found["rhea"][2][-1], found["qemu"][2][-1]
    if case.size_goal and ours > theirs * case.size_goal:
        missed.append(f"{ours / theirs:.3f} of the size")
    unit, digits = (1000, 2) if case.in_milliseconds else (1, 3)
    goal = f"< {case.milliseconds} ms" if case.milliseconds else f"{case.goal}x"
    limit = f"{case.limit_name} {time_of['limit'] * unit:.{digits}f}" if "limit" in time_of else "-"
    size = f"{ours / theirs:.3f}" if ours and theirs else "-"
    print(f"| {case.name} | {time_of['rhea'] * unit:.{digits}f} | {time_of['qemu'] * unit:.{digits}f} | {ratio:.2f} | {goal} "
          f"| {limit} | {memory:.0f} | {max(found['qemu'][1]):.0f} | {size} |{'  <-- ' + ', '.join(missed) if missed else ''}",
          flush=True)
    return [f"{case.name}: {text}" for text in missed]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=2048, help="MiB of the source")
    parser.add_argument("--small", type=int, default=384, help="MiB of the source that is compressed")
    parser.add_argument("--only", default="*")
    parser.add_argument("--directory", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--img", default=os.path.join(ROOT, "build/release/src/tools/img/rhea-img"))
    parser.add_argument("--best", action="store_true", help="minima, not medians: for a machine that does other work")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not shutil.which("qemu-img"):
        print("skip bench/img: qemu-img is not installed")
        return 0
    programs = {"rhea": os.path.abspath(arguments.img), "qemu": "qemu-img"}
    missed = []
    with tempfile.TemporaryDirectory(prefix="rhea-bench-img-", dir=arguments.directory) as folder:
        prepare_apart(folder, arguments.size * MIB, arguments.small * MIB)
        data = os.stat(os.path.join(folder, "raw")).st_blocks * 512 / MIB
        print(f"{platform.node()}, {os.cpu_count()} processors, {arguments.size} MiB with {data:.0f} MiB of data, "
              f"compressed {arguments.small} MiB; {arguments.rounds} rounds; seconds (create, info, snapshot: milliseconds), MiB\n")
        print("| case | rhea-img | qemu-img | ratio | goal | limit | rhea MiB | qemu MiB | size |")
        print("| --- | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: |")
        for case in cases():
            if any(fnmatch.fnmatch(case.name, pattern) for pattern in arguments.only.split(",")):
                missed += report(case, measure(case, programs, folder, arguments.rounds, random.Random(case.name)),
                                 min if arguments.best else statistics.median)
        os.chdir(ROOT)
    return 1 if missed and arguments.check else 0


sys.exit(main())
