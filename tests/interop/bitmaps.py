#!/usr/bin/env python3
"""Persistent bitmaps of qcow2 between the two tools: what one records or copies the other reads back bit by bit
(qemu-nbd exports a bitmap, qemu-img maps it).

bitmaps.py BLOCK_TOOL RHEA_IMG
"""
import json
import os
import signal
import random
import subprocess
import sys
import time

from common import MIB, Suite

SIZE = 64 * MIB


def dirty(suite, image, name):
    """The dirty ranges of a bitmap, as QEMU reads them."""
    server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "qcow2", "-B", name, "-k", os.path.abspath("nbd.sock"), image])
    try:
        for _ in range(200):
            if os.path.exists("nbd.sock"):
                break
            time.sleep(0.01)
        options = (f"driver=nbd,server.type=unix,server.path={os.path.abspath('nbd.sock')},"
                   f"x-dirty-bitmap=qemu:dirty-bitmap:{name}")
        done = suite.run("qemu-img", "map", "--output=json", "--image-opts", options)
    finally:
        server.terminate()
        server.wait()
        if os.path.exists("nbd.sock"):
            os.remove("nbd.sock")
    return [(part["start"], part["length"]) for part in json.loads(done.stdout) if not part["data"]]


def granules(*ranges, granularity=65536):
    """The ranges in whole granules, neighbours joined."""
    bits = set()
    for offset, length in ranges:
        bits.update(range(offset // granularity, (offset + length - 1) // granularity + 1))
    out = []
    for bit in sorted(bits):
        if out and out[-1][0] + out[-1][1] == bit * granularity:
            out[-1][1] += granularity
        else:
            out.append([bit * granularity, granularity])
    return [tuple(one) for one in out]


def sound(suite, image):
    suite.run("qemu-img", "check", image)
    suite.run(suite.rhea_img, "check", image)


def written_by(suite, image, ranges, program):
    for offset, length in ranges:
        if program == "qemu":
            suite.run("qemu-io", "-f", "qcow2", "-c", f"write -P 3 {offset} {length}", image)
        else:
            suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", "top.qcow2")
            suite.run("qemu-io", "-f", "qcow2", "-c", f"write -P 3 {offset} {length}", "top.qcow2")
            suite.run(suite.rhea_img, "commit", "-q", "top.qcow2")
            os.remove("top.qcow2")


def records(suite, program, options):
    """Writes show up in bitmaps that record and not in those that do not."""
    suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", "-o", options, "x.qcow2", SIZE)
    suite.run(suite.rhea_img, "bitmap", "--add", "-g", "64k", "x.qcow2", "on")
    suite.run("qemu-img", "bitmap", "--add", "-g", "64k", "--disable", "x.qcow2", "off")
    sound(suite, "x.qcow2")
    ranges = [(0, 65536), (5 * MIB, 3 * MIB), (SIZE - 131072, 131072)]
    written_by(suite, "x.qcow2", ranges, program)
    sound(suite, "x.qcow2")
    assert dirty(suite, "x.qcow2", "on") == granules(*ranges), dirty(suite, "x.qcow2", "on")
    assert dirty(suite, "x.qcow2", "off") == []
    suite.run(suite.rhea_img, "bitmap", "--merge", "on", "x.qcow2", "off")
    assert dirty(suite, "x.qcow2", "off") == granules(*ranges)
    suite.run(suite.rhea_img, "bitmap", "--clear", "x.qcow2", "on")
    assert dirty(suite, "x.qcow2", "on") == []
    suite.run("qemu-img", "bitmap", "--remove", "x.qcow2", "on")
    suite.run(suite.rhea_img, "bitmap", "--remove", "x.qcow2", "off")
    sound(suite, "x.qcow2")


def other_granularity(suite):
    for name in ("a.qcow2", "b.qcow2"):
        suite.run("qemu-img", "create", "-q", "-f", "qcow2", name, SIZE)
    suite.run("qemu-img", "bitmap", "--add", "-g", "4k", "a.qcow2", "fine")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write 1M 4k", "-c", "write 9M 200k", "a.qcow2")
    suite.run(suite.rhea_img, "bitmap", "--add", "-g", "1M", "--merge", "fine", "-b", "a.qcow2", "-F", "qcow2",
              "b.qcow2", "coarse")
    assert dirty(suite, "b.qcow2", "coarse") == [(MIB, MIB), (9 * MIB, MIB)]
    suite.run(suite.rhea_img, "bitmap", "--add", "-g", "512", "--merge", "coarse", "b.qcow2", "again")
    assert dirty(suite, "b.qcow2", "again") == [(MIB, MIB), (9 * MIB, MIB)]
    sound(suite, "b.qcow2")


def converts(suite):
    suite.run("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", SIZE)
    suite.run("qemu-img", "bitmap", "--add", "-g", "4k", "a.qcow2", "on")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write 1M 4k", "-c", "write 9M 200k", "a.qcow2")
    suite.run("qemu-img", "bitmap", "--add", "--disable", "--merge", "on", "a.qcow2", "off")
    suite.run(suite.rhea_img, "convert", "--bitmaps", "-O", "qcow2", "-o", "cluster_size=4k", "a.qcow2", "b.qcow2")
    sound(suite, "b.qcow2")
    for name in ("on", "off"):
        assert dirty(suite, "a.qcow2", name) == dirty(suite, "b.qcow2", name) != []
    theirs = json.loads(suite.run("qemu-img", "info", "--output=json", "a.qcow2").stdout)
    copied = json.loads(suite.run("qemu-img", "info", "--output=json", "b.qcow2").stdout)
    assert theirs["format-specific"]["data"]["bitmaps"] == copied["format-specific"]["data"]["bitmaps"]


def resizes(suite):
    suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "x.qcow2", SIZE)
    suite.run("qemu-img", "bitmap", "--add", "-g", "4k", "x.qcow2", "on")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write 0 20M", "-c", "write 40M 200k", "x.qcow2")
    suite.run(suite.rhea_img, "resize", "x.qcow2", "4G")
    sound(suite, "x.qcow2")
    assert dirty(suite, "x.qcow2", "on") == granules((0, 20 * MIB), (40 * MIB, 200 * 1024), granularity=4096)
    suite.run(suite.rhea_img, "resize", "--shrink", "x.qcow2", "10M")
    sound(suite, "x.qcow2")
    assert dirty(suite, "x.qcow2", "on") == [(0, 10 * MIB)]
    suite.run(suite.rhea_img, "resize", "x.qcow2", "30M")
    assert dirty(suite, "x.qcow2", "on") == [(0, 10 * MIB)]


def killed(suite):
    """kill -9 while bitmaps change: at most leaks, and a bitmap that was cut off says that it is inconsistent."""
    generator = random.Random(3)
    works = [("bitmap", "--add", "x.qcow2", "new"), ("bitmap", "--clear", "x.qcow2", "b"),
             ("bitmap", "--remove", "x.qcow2", "b"), ("resize", "-q", "x.qcow2", "1G"),
             ("commit", "-q", "top.qcow2")]
    for round_number in range(20):
        for name in ("x.qcow2", "top.qcow2"):
            if os.path.exists(name):
                os.remove(name)
        suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "x.qcow2", SIZE)
        suite.run("qemu-img", "bitmap", "--add", "-g", "512", "x.qcow2", "b")
        suite.run("qemu-io", "-f", "qcow2", "-c", "write 1M 4M", "x.qcow2")
        suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "x.qcow2", "-F", "qcow2", "top.qcow2")
        suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 1 9M 8M", "top.qcow2")
        work = works[round_number % len(works)]
        process = subprocess.Popen([suite.rhea_img, *work], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.random() * 0.015)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for tool in ("qemu-img", suite.rhea_img):
            status = suite.run(tool, "check", "x.qcow2", check=False)
            assert status.returncode in (0, 3), f"after {work}: {status.stdout}{status.stderr}"
        info = json.loads(suite.run("qemu-img", "info", "--output=json", "x.qcow2").stdout)
        for bitmap in info["format-specific"]["data"].get("bitmaps", []):
            if "in-use" not in bitmap["flags"]:
                dirty(suite, "x.qcow2", bitmap["name"])


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    for options in ("cluster_size=64k", "cluster_size=512", "extended_l2=on"):
        for program in ("qemu", "rhea"):
            suite.case(f"bitmaps/records/{program}/{options}", records, program, options)
    suite.case("bitmaps/other_granularity", other_granularity)
    suite.case("bitmaps/converts", converts)
    suite.case("bitmaps/resizes", resizes)
    suite.case("bitmaps/killed", killed)
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
