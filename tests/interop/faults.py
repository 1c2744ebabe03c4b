#!/usr/bin/env python3
"""Commands killed at any moment, disks that are full, files that may not grow: what is left can be used.

faults.py BLOCK_TOOL RHEA_IMG [ROUNDS [PREFIX OF COMMANDS]]
"""
import os
import random
import resource
import shutil
import subprocess
import sys
import time

from common import MIB, Suite, make_raw

SIZE = 24 * MIB
SHRUNK = 9 * MIB + 512 * 5
ROOM = 6 * MIB


def chain(suite, options=""):
    """base.qcow2 and over.qcow2 on it, other.qcow2 that could be another base; over.raw is what over reads as."""
    extra = ["-o", options] if options else []
    make_raw("base.raw", SIZE, 5)
    make_raw("over.raw", SIZE, 6)
    make_raw("other.raw", SIZE, 7)
    for name in ("base", "other"):
        suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "qcow2", *extra, f"{name}.raw", f"{name}.qcow2")
    suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", *extra, "-b", "base.qcow2", "-F", "qcow2", "over.qcow2")
    suite.run(suite.rhea_img, "convert", "-n", "-S", "0", "-f", "raw", "-O", "qcow2", "over.raw", "over.qcow2")


def sound(suite, image, what):
    """At most leaks, says either tool."""
    for program in ("qemu-img", suite.rhea_img):
        done = suite.run(program, "check", "-f", "qcow2", image, check=False)
        assert done.returncode in (0, 3), f"{what}: {program}: {(done.stdout + done.stderr)[:1000]}"


def needs_only_flags(suite, image, what):
    """Taking references away and marking what is left as the only one are two writes. Between them a cluster
    is not marked: it is copied at the next write for nothing, and a repair marks it."""
    done = suite.run("qemu-img", "check", "-f", "qcow2", image, check=False)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]
    assert done.returncode == 2 and errors, f"{what}: exit {done.returncode}: {done.stderr[-500:]}"
    other = [line for line in errors if not (line.startswith("ERROR OFLAG_COPIED") and line.endswith("refcount=1"))]
    assert not other, f"{what}: {other[:5]}"
    suite.run(suite.rhea_img, "check", "-q", "-r", "all", "-f", "qcow2", image)


def reads_as(suite, raw, image, what, cut):
    """`cut`: what lies behind may be gone already, or not yet."""
    if cut:
        suite.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, "cut.raw")
        suite.run("truncate", "-s", SHRUNK, "cut.raw")
        raw_part = suite.run("cmp", "-n", SHRUNK, "cut.raw", raw, check=False)
        assert raw_part.returncode == 0, f"{what}: {raw_part.stdout}"
        return
    done = suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image, check=False)
    assert done.returncode == 0, f"{what}: {done.stdout}{done.stderr}"


COMMANDS = {
    "commit": ["commit", "-q", "-f", "qcow2", "over.qcow2"],
    "rebase": ["rebase", "-q", "-f", "qcow2", "-b", "other.qcow2", "-F", "qcow2", "over.qcow2"],
    "snapshot-create": ["snapshot", "-q", "-c", "two", "over.qcow2"],
    "snapshot-apply": ["snapshot", "-q", "-a", "one", "over.qcow2"],
    "snapshot-delete": ["snapshot", "-q", "-d", "one", "over.qcow2"],
    "grow": ["resize", "-q", "-f", "qcow2", "--preallocation=metadata", "over.qcow2", "+200M"],
    "grow-far": ["resize", "-q", "-f", "qcow2", "over.qcow2", "8T"],
    "grow-full": ["resize", "-q", "-f", "qcow2", "--preallocation=full", "over.qcow2", "+8M"],
    "shrink": ["resize", "-q", "-f", "qcow2", "--shrink", "over.qcow2", str(SHRUNK)],
    "rebase-flat": ["rebase", "-q", "-f", "qcow2", "-b", "", "over.qcow2"],
    "bitmap": ["bitmap", "--add", "--merge", "kept", "-f", "qcow2", "-g", "64k", "over.qcow2", "new"],
    "amend-lazy": ["amend", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", "over.qcow2"],
    "amend-refcounts": ["amend", "-q", "-f", "qcow2", "-o", "refcount_bits=64", "over.qcow2"],
    "amend": ["amend", "-q", "-f", "qcow2", "-o", "compat=0.10", "over.qcow2"],
    "convert": ["convert", "-q", "-f", "qcow2", "-O", "qcow2", "over.qcow2", "out.qcow2"],
    "convert-packed": ["convert", "-q", "-c", "-f", "qcow2", "-O", "qcow2", "over.qcow2", "out.qcow2"],
}


def interrupted(suite, name, options, rounds):
    chain(suite, options)
    if name.startswith("snapshot"):
        suite.run(suite.rhea_img, "snapshot", "-q", "-c", "one", "over.qcow2")
    if name == "bitmap":
        suite.run(suite.rhea_img, "bitmap", "--add", "-g", "64k", "over.qcow2", "kept")
    for image in ("base", "over"):
        shutil.copy(f"{image}.qcow2", f"{image}.kept")
    started = time.monotonic()
    suite.run(suite.rhea_img, *COMMANDS[name])
    duration = time.monotonic() - started
    generator = random.Random(name)
    for number in range(rounds):
        for image in ("base", "over"):
            shutil.copy(f"{image}.kept", f"{image}.qcow2")
        if os.path.exists("out.qcow2"):
            os.unlink("out.qcow2")
        process = subprocess.Popen([suite.rhea_img, *COMMANDS[name]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0, duration))
        process.kill()
        process.wait()
        what = f"{name} round {number}"
        if name.startswith("snapshot") and suite.run("qemu-img", "check", "-q", "over.qcow2", check=False).returncode == 2:
            needs_only_flags(suite, "over.qcow2", what)
        for image in ("base.qcow2", "over.qcow2"):
            sound(suite, image, what)
        reads_as(suite, "over.raw", "over.qcow2", what, name == "shrink")
        if os.path.exists("out.qcow2") and os.path.getsize("out.qcow2") >= 65536 * 3:
            sound(suite, "out.qcow2", what)


def one_line(done, words):
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1, f"exit {done.returncode}: {done.stderr}"
    assert len(lines) == 1 and any(word in lines[0] for word in words), f"not one clear line: {done.stderr}"


def no_room(suite, fmt, options, limit):
    """Where the host has no room for a target, or files may not grow: one line, the source whole, the target gone."""
    make_raw("in.raw", SIZE, 8)
    extra = ["-o", options] if options else []
    command = [suite.rhea_img, "convert", "-f", "raw", "-O", fmt, *extra, "in.raw"]
    if limit == "rlimit":
        done = subprocess.run([*command, "out"], capture_output=True, text=True, timeout=60, check=False,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)))
        one_line(done, ["File too large"])
        assert not os.path.exists("out"), "the target is still there"
        return
    full_disk(suite, fmt, extra, command)


def full_disk(suite, fmt, extra, command):
    os.mkdir("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", "small"], check=True)
    try:
        one_line(suite.run(*command, "small/out", check=False), ["No space left on device"])
        assert not os.path.exists("small/out"), "the target is still there"
        # An image that was there before: writes fail, what it is stays sound.
        suite.run(suite.rhea_img, "create", "-q", "-f", fmt, *extra, "small/there", SIZE)
        one_line(suite.run(suite.rhea_img, "convert", "-n", "-f", "raw", "-O", fmt, "in.raw", "small/there", check=False), ["No space left on device"])
        if fmt in ("qcow2", "vdi", "qed", "vmdk", "vhdx"):
            done = suite.run("qemu-img", "check", "-f", fmt, "small/there", check=False)
            assert done.returncode in (0, 3), f"{done.stdout}{done.stderr}"
        suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", "small/there", "back.raw")
        with open("back.raw", "rb") as found, open("in.raw", "rb") as expected:
            while part := found.read(4096):
                wanted = expected.read(4096).ljust(len(part), b"\0")
                assert part == wanted or not any(part), "rubbish in the image"
    finally:
        subprocess.run(["umount", "small"], check=True)


def may_mount():
    os.makedirs("/tmp/rhea-mount-probe", exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=65536", "none", "/tmp/rhea-mount-probe"], capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(["umount", "/tmp/rhea-mount-probe"], check=True)
    os.rmdir("/tmp/rhea-mount-probe")
    return done.returncode == 0


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    for name in COMMANDS:
        if len(sys.argv) > 4 and not name.startswith(sys.argv[4]):
            continue
        for options in ("", "cluster_size=4k"):
            suite.case(f"faults/{name}/{options}", interrupted, name, options, rounds)
    limits = ["rlimit"]
    if may_mount():
        limits.append("tmpfs")
    else:
        print("skip interop/faults/tmpfs: a tmpfs cannot be mounted here (needs root)")
    for fmt, options in (("raw", ""), ("qcow2", ""), ("vdi", ""), ("vpc", ""), ("vmdk", ""), ("qed", ""), ("vhdx", "block_size=1M"),
                         ("vmdk", "subformat=streamOptimized")):
        for limit in limits:
            suite.case(f"faults/{limit}/{fmt}/{options}", no_room, fmt, options, limit)
    sys.exit(1 if suite.failed else 0)


main()
