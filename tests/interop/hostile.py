#!/usr/bin/env python3
"""Images that lie, in 1 GiB of address space: refused with a few lines, never a crash, a hang or a change to the file.

hostile.py BLOCK_TOOL RHEA_IMG [ROUNDS]; the images are the fuzzer's corpus with bytes changed, and some made here.
"""
import os
import random
import resource
import struct
import subprocess
import sys

from common import Suite

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus/formats_fuzz")
LIMIT = 1 << 30


def run(suite, *words):
    """Few lines on stderr, and an exit status of its own."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    done = subprocess.run([suite.rhea_img, *words], capture_output=True, timeout=30, check=False, preexec_fn=limit)
    text = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 1, 2, 3, 63), f"{' '.join(words)}: exit {done.returncode}: {text[-500:]}"
    assert "bad_alloc" not in text and "std::" not in text, f"{' '.join(words)}: {text[-500:]}"
    if words[0] != "check":
        assert text.count("\n") <= 4, f"{' '.join(words)}: many lines: {text[:500]}"
    return done


def look(suite, fmt, image):
    """What only reads leaves the file as it is."""
    before = os.stat(image)
    for words in (["info", "-f", fmt], ["info"], ["check", "-f", fmt], ["map", "-f", fmt], ["measure", "-O", "qcow2", "-f", fmt]):
        run(suite, *words, image)
    after = os.stat(image)
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns), "the image was written to"


def changed(suite, name, rounds):
    fmt = name.split("-")[0]
    with open(os.path.join(CORPUS, name), "rb") as file:
        good = file.read()
    in_pages, good = good[0] & 0x80, good[1:]
    generator = random.Random(name)
    for _ in range(rounds):
        bad = bytearray(good)
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(min(len(bad), generator.choice([64, 112, 600, 70000])))
            for i in range(generator.choice([1, 2, 4, 8])):
                if at + i < len(bad):
                    bad[at + i] = generator.choice([0, 0xff, 0x7f, 0x80, generator.randrange(256)])
        with open("x", "wb") as out:
            if not in_pages:
                out.write(bad)
            for at in range(0, len(bad) if in_pages else 0, 4098):
                out.seek(int.from_bytes(bad[at:at + 2], "little") % 4096 * 4096)
                out.write(bad[at + 2:at + 4098])
        look(suite, fmt, "x")


def qcow2_header(bits=16, size=1 << 30, l1=1, l1_offset=1 << 17, table=1 << 16, table_clusters=1, snapshots=0, snapshots_offset=0):
    return struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, bits, size, 0, l1, l1_offset, table, table_clusters, snapshots,
                       snapshots_offset, 0, 0, 0, 4, 104)


def large_tables(suite):
    """Tables as large as headers can claim, in sparse files of many TiB."""
    headers = {
        "l1": qcow2_header(bits=21, size=1 << 62, l1=(32 << 20) // 8), "l1-past": qcow2_header(l1=1 << 31),
        "refcounts": qcow2_header(table_clusters=128), "refcounts-past": qcow2_header(table_clusters=1 << 31),
        "snapshots": qcow2_header(snapshots=65536, snapshots_offset=1 << 20), "snapshots-past": qcow2_header(snapshots=1 << 31),
        "negative": qcow2_header(size=1 << 63), "far": qcow2_header(l1_offset=(1 << 62) + 1),
    }
    for name, header in headers.items():
        with open(name, "wb") as out:
            out.write(header)
            out.truncate(4 << 40)
        for words in (["info", "-f", "qcow2"], ["check", "-f", "qcow2"], ["map", "-f", "qcow2"]):
            run(suite, *words, name)


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    for name in sorted(os.listdir(CORPUS)):
        suite.case(f"hostile/{name}", changed, name, rounds)
    suite.case("hostile/large_tables", large_tables)
    sys.exit(1 if suite.failed else 0)


main()
