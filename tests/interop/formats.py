#!/usr/bin/env python3
"""Every format both ways: images that we make are read by qemu-img with the same content, and the reverse.

formats.py BLOCK_TOOL RHEA_IMG [FORMAT...]
"""
import re
import sys

from common import MIB, Suite, make_raw, same

SIZE = 21 * MIB + 512 * 3

# Format, options, is there a check, are they deterministic (files must be equal byte for byte).
WRITABLE = [
    ("vdi", "", True),
    ("vdi", "static=on", True),
    ("qed", "", True),
    ("qed", "cluster_size=4k,table_size=2", True),
    ("vmdk", "", True),
    ("vmdk", "zeroed_grain=on,adapter_type=lsilogic,hwversion=7", True),
    ("vmdk", "subformat=streamOptimized", True),
    ("vmdk", "subformat=monolithicFlat", True),
    ("vmdk", "subformat=twoGbMaxExtentSparse", True),
    ("vmdk", "subformat=twoGbMaxExtentFlat", True),
    ("vhdx", "", True),
    ("vhdx", "block_size=1M,log_size=2M", True),
    ("vhdx", "subformat=fixed", True),
    ("vpc", "", False),
    ("vpc", "force_size=on", False),
    ("vpc", "subformat=fixed,force_size=on", False),
    ("vpc", "subformat=fixed", False),
]


def ours_to_theirs(suite, fmt, options, has_check):
    make_raw("in.raw", SIZE, 1)
    extra = ["-o", options] if options else []
    suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "x", SIZE)
    suite.tool("load", fmt, "x", "in.raw")
    verify(suite, fmt, "x", "in.raw", has_check)
    suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "y", SIZE)
    suite.tool("stream", fmt, "y", "in.raw")
    verify(suite, fmt, "y", "in.raw", has_check)


def verify(suite, fmt, image, raw, has_check):
    suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", image, "their.raw")
    same("their.raw", raw)
    suite.tool("dump", fmt, image, "our.raw")
    same("our.raw", raw)
    suite.tool("map", fmt, image)
    if has_check:
        suite.run("qemu-img", "check", "-f", fmt, image)
        assert "corruptions 0 fixed 0 leaks 0" in suite.tool("check", fmt, image).stdout


def converted(suite, fmt, options, has_check):
    """The whole way: rhea-img convert to the format and back."""
    make_raw("in.raw", SIZE, 4)
    extra = ["-o", options] if options else []
    suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", fmt, *extra, "in.raw", "x")
    verify(suite, fmt, "x", "in.raw", has_check)
    suite.run(suite.rhea_img, "convert", "-f", fmt, "-O", "raw", "x", "back.raw")
    same("back.raw", "in.raw")


def theirs_to_ours(suite, fmt, options, has_check):
    make_raw("in.raw", SIZE, 2)
    extra = ["-o", options] if options else []
    suite.run("qemu-img", "convert", "-f", "raw", "-O", fmt, *extra, "in.raw", "x")
    verify(suite, fmt, "x", "in.raw", has_check)
    if "fixed" not in options:  # has its signature at its end
        assert f"file format: {fmt}" in suite.run(suite.rhea_img, "info", "x").stdout


def mixed_writes(suite, fmt, options, has_check):
    if "streamOptimized" in options:  # is written once
        return
    mixed_writes_of(suite, fmt, options, has_check)


def mixed_writes_of(suite, fmt, options, has_check):
    """Small writes by both tools in turn, over an image that already holds data."""
    make_raw("in.raw", SIZE, 3)
    extra = ["-o", options] if options else []
    suite.run("qemu-img", "convert", "-f", "raw", "-O", fmt, *extra, "in.raw", "x")
    steps = [(0, 512, 1), (5 * MIB - 1024, 2048, 2), (7 * MIB + 512, 3 * MIB, 3), (SIZE - 1024, 1024, 4), (65536, 65536, 5)]
    for number, (offset, length, byte) in enumerate(steps):
        if number % 2 == 0:
            suite.tool("write", fmt, "x", offset, length, byte)
        else:
            suite.run("qemu-io", "-f", fmt, "-c", f"write -P {byte} {offset} {length}", "x")
        suite.run("qemu-io", "-f", "raw", "-c", f"write -P {byte} {offset} {length}", "in.raw")
    for offset, length in ((2 * MIB, 4 * MIB), (12 * MIB + 512, 1024), (SIZE - 512, 512)):
        suite.tool("zero", fmt, "x", offset, length)
        suite.run("qemu-io", "-f", "raw", "-c", f"write -z {offset} {length}", "in.raw")
    verify(suite, fmt, "x", "in.raw", has_check)


def same_info(suite, fmt, options, _has_check):
    extra = ["-o", options] if options else []
    for size in (512, 1000, MIB, 100 * MIB, 3 << 30, 130 << 30):
        if size > 2 << 30 and any(word in options for word in ("static", "Flat", "fixed")):
            continue
        their = suite.run("qemu-img", "create", "-q", "-f", fmt, *extra, "x", size, check=False)
        our = suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "y", size, check=False)
        assert their.returncode == our.returncode, f"create {size}: {their.stderr}{our.stderr}"
        if their.returncode != 0:
            assert their.stderr.split(":", 2)[2] == our.stderr.split(":", 2)[2], their.stderr + our.stderr
            continue
        suite.run("mv", "x", "z")
        their = suite.run("qemu-img", "info", "-f", fmt, "--output=json", "z").stdout
        assert their == suite.run(suite.rhea_img, "info", "-f", fmt, "--output=json", "z").stdout, f"info of {size} bytes"
        suite.run("mv", "y", "z")
        our = suite.run("qemu-img", "info", "-f", fmt, "--output=json", "z").stdout
        drop = lambda text: [line for line in text.splitlines() if not re.search(r'"(cid|actual-size|filename)"', line)]
        assert drop(their) == drop(our), f"info of {size} bytes made by us:\n{their}{our}"


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    wanted = sys.argv[3:]
    for fmt, options, has_check in WRITABLE:
        if wanted and fmt not in wanted:
            continue
        name = f"formats/{fmt}" + (f"/{options}" if options else "")
        for function in (ours_to_theirs, converted, theirs_to_ours, mixed_writes, same_info):
            suite.case(f"{name}/{function.__name__}", function, fmt, options, has_check)
    sys.exit(1 if suite.failed else 0)


main()
