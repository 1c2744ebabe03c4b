#!/usr/bin/env python3
"""Writers killed at any moment: the image is sound but for leaks, and holds nothing that was not written.

kill.py BLOCK_TOOL RHEA_IMG [ROUNDS]
"""
import random
import shutil
import subprocess
import sys
import time

from common import MIB, Suite, make_raw

SIZE = 16 * MIB
FORMATS = [
    ("qcow2", "", True),
    ("qcow2", "cluster_size=4k", True),
    ("qcow2", "extended_l2=on", True),
    ("vdi", "", True),
    ("qed", "", True),
    ("qed", "cluster_size=4096", True),
    ("vmdk", "", True),
    ("vmdk", "subformat=twoGbMaxExtentSparse", True),
    ("vmdk", "subformat=streamOptimized", True),
    ("vhdx", "block_size=1M", True),
    ("vpc", "force_size=on", False),
]
CHURNED = [
    ("qcow2", "", True), ("qcow2", "cluster_size=512", True), ("qcow2", "extended_l2=on", True), ("qcow2", "lazy_refcounts=on", True),
    ("qcow2", "data_file=data", True), ("vdi", "", True), ("qed", "", True), ("vmdk", "", True), ("vhdx", "block_size=1M", True),
    ("vpc", "force_size=on", False), ("raw", "", False),
]
SHARED = ["", "cluster_size=512", "cluster_size=4k,extended_l2=off", "extended_l2=on", "refcount_bits=64"]


def killed(suite, fmt, options, has_check, rounds):
    make_raw("in.raw", SIZE, 21)
    with open("in.raw", "rb") as file:
        expected = file.read()
    extra = ["-o", options] if options else []
    generator = random.Random(f"{fmt} {options}")
    for number in range(rounds):
        suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "x", SIZE)
        writer = subprocess.Popen([suite.block_tool, ["load", "stream"][number % 2], fmt, "x", "in.raw"])
        time.sleep(generator.uniform(0.002, 0.05))
        writer.kill()
        writer.wait()
        if has_check:
            done = suite.run("qemu-img", "check", "-f", fmt, "x", check=False)
            assert done.returncode in (0, 3), f"round {number}: {done.stdout}{done.stderr}"
            assert "corruptions 0" in suite.tool("check", fmt, "x").stdout
        suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", "x", "their.raw")
        with open("their.raw", "rb") as file:
            found = file.read(SIZE)
        for at in range(0, SIZE, 65536):
            part = found[at:at + 65536]
            if part == expected[at:at + 65536] or not any(part):
                continue
            for sector in range(at, at + len(part), 512):
                now = found[sector:sector + 512]
                assert now == expected[sector:sector + 512] or not any(now), f"round {number}: rubbish at {sector}"


def content_of(lines, before=None):
    """By sector: the bytes that it may hold, after the writes in `lines` of which the last flushed ones are certain.
    `before`: what the image held, else zeros; each sector is full of one byte."""
    allowed, now = {}, {}
    for line in lines:
        if line == "flush":
            for sector, byte in now.items():
                allowed[sector] = {byte}
            now = {}
            continue
        offset, length, byte = map(int, line.split())
        for sector in range(offset // 512, (offset + length) // 512):
            allowed.setdefault(sector, {before[sector * 512] if before else 0}).add(byte)
            now[sector] = byte
    return allowed


def judge(found, allowed, otherwise, what):
    """Each sector is full of one byte: one of the allowed, or that which was there."""
    for sector in range(SIZE // 512):
        part = found[sector * 512:sector * 512 + 512]
        byte = part[0]
        wanted = allowed.get(sector) or {otherwise(sector)}
        assert byte in wanted and part.count(byte) == 512, f"{what}: sector {sector} holds {part[:4].hex()}, not one of {wanted}"


def churned(suite, fmt, options, has_check, rounds):
    """Random writes and zeroes over one another: what was flushed is there, of the rest each sector is old or new."""
    extra = ["-o", options] if options else []
    generator = random.Random(f"churn {fmt} {options}")
    for number in range(rounds):
        suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "x", SIZE)
        if fmt == "qcow2" and number % 3 == 2:
            suite.run(suite.rhea_img, "bitmap", "--add", "x", "b")
        with open("log", "wb") as log:
            writer = subprocess.Popen([suite.block_tool, "churn", fmt, "x", str(generator.randrange(1 << 30))], stdout=log)
            time.sleep(generator.uniform(0.005, 0.12))
            writer.kill()
            writer.wait()
        with open("log", encoding="ascii") as log:
            text = log.read()
        allowed = content_of(text[:text.rfind("\n") + 1].splitlines())
        if has_check:
            done = suite.run("qemu-img", "check", "-f", fmt, "x", check=False)
            assert done.returncode in (0, 3), f"round {number}: {done.stdout[:2000]}{done.stderr[:2000]}"
            assert "corruptions 0" in suite.tool("check", fmt, "x").stdout
        suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", "x", "their.raw")
        with open("their.raw", "rb") as file:
            found = file.read(SIZE)
        judge(found, allowed, lambda sector: 0, f"round {number}")


def shared(suite, options, rounds):
    """Writes and zeroes over clusters that snapshots hold too: the same, and the snapshots stay what they were."""
    extra = ["-o", options] if options else []
    generator = random.Random(f"shared {options}")
    suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", *extra, "kept", SIZE)
    suite.run("qemu-io", "-f", "qcow2", "-c", f"write -P 1 0 {SIZE // 2}", "-c", "write -P 2 11M 3M", "kept")
    suite.run(suite.rhea_img, "snapshot", "-q", "-c", "one", "kept")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 3 5M 5M", "kept")
    suite.run(suite.rhea_img, "snapshot", "-q", "-c", "two", "kept")
    suite.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "kept", "now.raw")
    with open("now.raw", "rb") as file:
        now = file.read()
    for name in ("one", "two"):
        suite.run("qemu-img", "convert", "-f", "qcow2", "-l", name, "-O", "raw", "kept", f"{name}.raw")
    for number in range(rounds):
        shutil.copy("kept", "x")
        with open("log", "wb") as log:
            writer = subprocess.Popen([suite.block_tool, "churn", "qcow2", "x", str(generator.randrange(1 << 30))], stdout=log)
            time.sleep(generator.uniform(0.005, 0.12))
            writer.kill()
            writer.wait()
        with open("log", encoding="ascii") as log:
            text = log.read()
        changed = content_of(text[:text.rfind("\n") + 1].splitlines(), now)
        for program in ("qemu-img", suite.rhea_img):
            done = suite.run(program, "check", "-f", "qcow2", "x", check=False)
            assert done.returncode in (0, 3), f"round {number}: {program}: {done.stdout[:2000]}{done.stderr[:2000]}"
        suite.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "x", "their.raw")
        with open("their.raw", "rb") as file:
            found = file.read(SIZE)
        judge(found, changed, lambda sector: now[sector * 512], f"round {number}")
        for name in ("one", "two"):
            suite.run("qemu-img", "convert", "-f", "qcow2", "-l", name, "-O", "raw", "x", "then.raw")
            suite.run("cmp", f"{name}.raw", "then.raw")


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 6
    for fmt, options, has_check in CHURNED:
        suite.case(f"kill/churn/{fmt}/{options}", churned, fmt, options, has_check, rounds)
    for options in SHARED:
        suite.case(f"kill/shared/qcow2/{options}", shared, options, rounds)
    for fmt, options, has_check in FORMATS:
        suite.case(f"kill/{fmt}/{options}", killed, fmt, options, has_check, rounds)
    sys.exit(1 if suite.failed else 0)


main()
