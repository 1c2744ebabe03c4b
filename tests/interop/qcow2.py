#!/usr/bin/env python3
"""qcow2 between the two tools, option by option; chains, rebase, commit and snapshots; writers that are killed.

qcow2.py BLOCK_TOOL RHEA_IMG
"""
import os
import random
import signal
import subprocess
import sys
import time

from common import MIB, Suite, make_raw, same

SIZE = 24 * MIB
OPTIONS = ["", "cluster_size=512", "cluster_size=4k", "cluster_size=2M", "extended_l2=on",
           "extended_l2=on,cluster_size=16k", "refcount_bits=1", "refcount_bits=64", "compat=0.10",
           "preallocation=metadata", "preallocation=full", "compression_type=zstd", "lazy_refcounts=on",
           "data_file=data.raw", "data_file=data.raw,data_file_raw=on"]


def both_ways(suite, options, packed):
    make_raw("in.raw", SIZE, 5)
    extra = (["-o", options] if options else []) + (["-c"] if packed else [])
    for writer, reader in ((suite.rhea_img, "qemu-img"), ("qemu-img", suite.rhea_img)):
        suite.run(writer, "convert", "-f", "raw", "-O", "qcow2", *extra, "in.raw", "x.qcow2")
        suite.run("qemu-img", "check", "x.qcow2")
        suite.run(suite.rhea_img, "check", "x.qcow2")
        suite.run(reader, "convert", "-f", "qcow2", "-O", "raw", "x.qcow2", "out.raw")
        same("out.raw", "in.raw")
        suite.run(suite.rhea_img, "compare", "-f", "raw", "in.raw", "x.qcow2")
        os.remove("x.qcow2")


def mixed_writers(suite, options):
    """Both programs change one image in turn; the other understands what it finds."""
    make_raw("in.raw", SIZE, 6)
    extra = ["-o", options] if options else []
    suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "qcow2", *extra, "in.raw", "x.qcow2")
    for step in range(4):
        at = step * 5 * MIB + 512 * step
        suite.run("qemu-io", "-f", "qcow2", "-c", f"write -P {step + 1} {at} 700k", "x.qcow2")
        suite.run("qemu-io", "-f", "raw", "-c", f"write -P {step + 1} {at} 700k", "in.raw")
        size = SIZE + (step + 1) * MIB
        suite.run(suite.rhea_img, "resize", "-q", "x.qcow2", size)
        os.truncate("in.raw", size)
        suite.run("qemu-img", "check", "x.qcow2")
        suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", "x.qcow2")


def snapshots(suite, options):
    make_raw("in.raw", SIZE, 7)
    extra = ["-o", options] if options else []
    suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "qcow2", *extra, "in.raw", "x.qcow2")
    suite.run(suite.rhea_img, "snapshot", "-c", "first", "x.qcow2")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 9 1M 9M", "x.qcow2")
    suite.run("qemu-img", "snapshot", "-c", "second", "x.qcow2")
    suite.run(suite.rhea_img, "check", "x.qcow2")
    suite.run("qemu-img", "check", "x.qcow2")
    suite.run(suite.rhea_img, "convert", "-l", "first", "-O", "raw", "x.qcow2", "out.raw")
    same("out.raw", "in.raw")
    suite.run(suite.rhea_img, "snapshot", "-a", "first", "x.qcow2")
    suite.run("qemu-img", "check", "x.qcow2")
    suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", "x.qcow2")
    suite.run(suite.rhea_img, "snapshot", "-d", "second", "x.qcow2")
    suite.run(suite.rhea_img, "snapshot", "-d", "first", "x.qcow2")
    suite.run("qemu-img", "check", "x.qcow2")
    suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", "x.qcow2")


def chains(suite):
    make_raw("in.raw", SIZE, 8)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "in.raw", "a.qcow2")
    suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2", SIZE + MIB)
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 3 100k 3M", "-c", "write -z 9M 2M", "b.qcow2")
    suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", "-b", "b.qcow2", "-F", "qcow2", "c.qcow2")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 4 1M 1000", "c.qcow2")
    suite.run("qemu-img", "convert", "-O", "raw", "c.qcow2", "want.raw")
    suite.run(suite.rhea_img, "convert", "-O", "raw", "c.qcow2", "out.raw")
    same("out.raw", "want.raw")
    suite.run(suite.rhea_img, "rebase", "-b", "a.qcow2", "-F", "qcow2", "c.qcow2")
    suite.run("qemu-img", "compare", "c.qcow2", "want.raw")
    suite.run(suite.rhea_img, "rebase", "-u", "-b", "b.qcow2", "-F", "qcow2", "c.qcow2")
    suite.run(suite.rhea_img, "commit", "-q", "b.qcow2")
    suite.run("qemu-img", "compare", "c.qcow2", "want.raw")
    suite.run(suite.rhea_img, "commit", "-q", "-b", "a.qcow2", "c.qcow2")
    suite.run("qemu-img", "compare", "a.qcow2", "want.raw")
    for name in ("a.qcow2", "b.qcow2", "c.qcow2"):
        suite.run("qemu-img", "check", name)


def rebased(suite):
    """What the new backing image must not show is marked as zeros where whole clusters are, and the content stays."""
    make_raw("in.raw", SIZE, 12)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "in.raw", "full.qcow2")
    suite.run("qemu-img", "create", "-q", "-f", "qcow2", "short.qcow2", "3M")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 2M", "short.qcow2")
    for backing, options in ((None, ""), ("short", ""), ("short", "extended_l2=on"), ("short", "cluster_size=2M"), (None, "compat=0.10")):
        options = ["-o", options] if options else []
        behind = ["-b", f"{backing}.qcow2", "-F", "qcow2"] if backing else []
        suite.run("qemu-img", "create", "-q", "-f", "qcow2", *options, *behind, "top.qcow2", SIZE)
        suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 6 1000k 100k", "-c", "write -P 7 7M 1k", "top.qcow2")
        suite.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "want.raw")
        suite.run("cp", "top.qcow2", "theirs.qcow2")
        suite.run("cp", "top.qcow2", "ours.qcow2")
        suite.run("qemu-img", "rebase", "-f", "qcow2", "-b", "full.qcow2", "-F", "qcow2", "theirs.qcow2")
        suite.run(suite.rhea_img, "rebase", "-f", "qcow2", "-b", "full.qcow2", "-F", "qcow2", "ours.qcow2")
        suite.run("qemu-img", "check", "-f", "qcow2", "ours.qcow2")
        suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "want.raw", "ours.qcow2")
        ours, theirs = os.stat("ours.qcow2").st_blocks, os.stat("theirs.qcow2").st_blocks
        # Version 2 has no marks; qemu-img then leaves clusters out, and its result reads as the new backing image.
        assert ours <= theirs or "compat=0.10" in options, f"{backing} {options}: {ours} blocks, qemu-img {theirs}"


def killed(suite):
    """kill -9 at any time: at most leaks, and what was there before is still there."""
    make_raw("in.raw", SIZE, 9)
    make_raw("more.raw", SIZE, 10)
    generator = random.Random(11)
    works = [("amend", "-o", "refcount_bits=64", "x.qcow2"), ("amend", "-o", "compat=0.10", "top.qcow2"),
             ("snapshot", "-c", "s", "x.qcow2"), ("snapshot", "-d", "keep", "x.qcow2"),
             ("resize", "-q", "x.qcow2", "+1G"), ("snapshot", "-a", "keep", "x.qcow2"),
             ("rebase", "-b", "", "top.qcow2"), ("commit", "-q", "top.qcow2")]
    for round_number in range(24):
        for name in ("x.qcow2", "top.qcow2"):
            if os.path.exists(name):
                os.remove(name)
        suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "in.raw", "x.qcow2")
        suite.run("qemu-img", "snapshot", "-c", "keep", "x.qcow2")
        suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "x.qcow2", "-F", "qcow2", "top.qcow2")
        suite.run("qemu-io", "-f", "qcow2", "-c", "write -P 1 1M 3M", "top.qcow2")
        suite.run("qemu-img", "convert", "-O", "raw", "top.qcow2", "want.raw")
        work = works[round_number % len(works)]
        process = subprocess.Popen([suite.rhea_img, *work], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in ("x.qcow2", "top.qcow2"):
            status = suite.run("qemu-img", "check", name, check=False)
            assert status.returncode in (0, 3), f"after {work}: {name}: {status.stdout}{status.stderr}"
            assert suite.run(suite.rhea_img, "check", name, check=False).returncode in (0, 3), f"after {work}: {name}"
        suite.run("qemu-img", "compare", "top.qcow2", "want.raw")


def amended(suite):
    """Each change leaves an image that the other program finds sound and equal."""
    make_raw("in.raw", SIZE, 13)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "in.raw", "x.qcow2")
    suite.run("qemu-img", "snapshot", "-c", "one", "x.qcow2")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -z 1M 2M", "x.qcow2")
    suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "x.qcow2", "-F", "qcow2", "top.qcow2")
    suite.run("qemu-io", "-f", "qcow2", "-c", "write -z 4M 1M", "-c", "write -P 1 5M 1M", "top.qcow2")
    for name in ("x", "top"):
        suite.run("qemu-img", "convert", "-O", "raw", f"{name}.qcow2", f"{name}.raw")
    for change in ("refcount_bits=64", "refcount_bits=2", "lazy_refcounts=on", "refcount_bits=32,lazy_refcounts=off",
                   "refcount_bits=16", "compat=0.10", "compat=1.1", "refcount_bits=8"):
        for name in ("top", "x"):
            suite.run(suite.rhea_img, "amend", "-f", "qcow2", "-o", change, f"{name}.qcow2")
            suite.run("qemu-img", "check", f"{name}.qcow2")
        for name in ("top", "x"):
            suite.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", f"{name}.qcow2", f"{name}.raw")
    suite.run("qemu-img", "snapshot", "-a", "one", "x.qcow2")
    suite.run("qemu-img", "check", "x.qcow2")
    suite.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", "x.qcow2", "in.raw")


def repairs(suite):
    make_raw("in.raw", SIZE, 12)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "in.raw", "x.qcow2")
    with open("x.qcow2", "r+b") as image:
        image.seek(2 * 65536 + 10 * 2)
        image.write(bytes(20))  # ten clusters in use are counted as free
        image.seek(2 * 65536 + 600 * 2)
        image.write(b"\0\1" * 5)
        image.truncate(700 * 65536)
    assert suite.run(suite.rhea_img, "check", "x.qcow2", check=False).returncode == 2
    suite.run(suite.rhea_img, "check", "-r", "all", "x.qcow2")
    suite.run("qemu-img", "check", "x.qcow2")
    suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", "x.qcow2")


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    for options in OPTIONS:
        for packed in (False, True):
            if packed and ("preallocation" in options or "data_file" in options):
                continue
            suite.case(f"qcow2/{options or 'plain'}{'/packed' if packed else ''}", both_ways, options, packed)
        if "data_file" not in options:
            suite.case(f"qcow2/mixed/{options or 'plain'}", mixed_writers, options)
    for options in ("", "cluster_size=512", "extended_l2=on", "compat=0.10"):
        suite.case(f"qcow2/snapshots/{options or 'plain'}", snapshots, options)
    suite.case("qcow2/chains", chains)
    suite.case("qcow2/amended", amended)
    suite.case("qcow2/repairs", repairs)
    suite.case("qcow2/rebased", rebased)
    suite.case("qcow2/killed", killed)
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
