#!/usr/bin/env python3
"""Commands killed at any moment, disks that are full, files that may not grow: what is left can be used.

faults.py BLOCK_TOOL RHEA_IMG [ROUNDS [PREFIX OF COMMANDS [each]]]
With "each", and strace: not at any moment, but in turn before or after each call that changes a file (ROUNDS of them).
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


CALLS = "pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,copy_file_range"
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


def prepare(suite, name, options):
    chain(suite, options)
    if name.startswith("snapshot"):
        snapshots(suite)
    if name == "bitmap":
        suite.run(suite.rhea_img, "bitmap", "--add", "-g", "64k", "over.qcow2", "kept")
    for image in ("base", "over"):
        shutil.copy(f"{image}.qcow2", f"{image}.kept")


def put_back():
    for image in ("base", "over"):
        shutil.copy(f"{image}.kept", f"{image}.qcow2")
    if os.path.exists("out.qcow2"):
        os.unlink("out.qcow2")


def judge(suite, name, what, number):
    for image in ("base.qcow2", "over.qcow2"):
        sound(suite, image, what)
    if name.startswith("snapshot"):
        of_snapshots(suite, what, number)
    else:
        reads_as(suite, "over.raw", "over.qcow2", what, name == "shrink")
    if os.path.exists("out.qcow2") and os.path.getsize("out.qcow2") >= 65536 * 3:
        sound(suite, "out.qcow2", what)


def interrupted(suite, name, options, rounds):
    prepare(suite, name, options)
    started = time.monotonic()
    suite.run(suite.rhea_img, *COMMANDS[name])
    duration = time.monotonic() - started
    generator = random.Random(name)
    for number in range(rounds):
        put_back()
        process = subprocess.Popen([suite.rhea_img, *COMMANDS[name]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0, duration))
        process.kill()
        process.wait()
        judge(suite, name, f"{name} round {number}", number)


def interrupted_at_each(suite, name, options, rounds):
    prepare(suite, name, options)
    traced = ["strace", "-f", "-qq", "-o", "calls", "-e", f"trace={CALLS}"]
    suite.run(*traced, suite.rhea_img, *COMMANDS[name])
    with open("calls", encoding="utf-8", errors="replace") as calls:
        count = sum(1 for line in calls if "(" in line)
    places = range(1, count + 1)
    if count > rounds:
        places = sorted(random.Random(name).sample(places, rounds))
    for place in places:
        put_back()
        suite.run(*traced, "-e", f"inject={CALLS}:signal=KILL:when={place}", suite.rhea_img, *COMMANDS[name], check=False)
        judge(suite, name, f"{name} at call {place} of {count}", place)


def snapshots(suite):
    """over.qcow2 was over.raw when "one" was made, is now.raw now: shared, own and compressed clusters, zeros."""
    suite.run(suite.rhea_img, "snapshot", "-q", "-c", "one", "over.qcow2")
    shutil.copy("over.raw", "now.raw")
    with open("now.raw", "r+b") as now:
        for offset, length, byte in ((0, 9000, 1), (5 * MIB, 3 * MIB, 2), (9 * MIB, MIB, 0)):
            command = f"write -P {byte} {offset} {length}" if byte else f"write -z {offset} {length}"
            suite.run("qemu-io", "-f", "qcow2", "-c", command, "over.qcow2")
            now.seek(offset)
            now.write(bytes([byte]) * length)
        now.seek(12 * MIB)
        now.write(b"\7" * MIB)
    suite.run("qemu-io", "-f", "qcow2", "-c", f"discard {12 * MIB} {MIB}", "-c", f"write -c -P 7 {12 * MIB} {MIB}", "over.qcow2")


def of_snapshots(suite, what, number):
    """The image reads as one of its two states, each snapshot as it was made; it can be written and checked again."""
    def differs(raw, *source):
        return suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, *source, check=False).returncode
    listed = [line.split()[1] for line in suite.run("qemu-img", "snapshot", "-l", "over.qcow2").stdout.splitlines()[2:]]
    states = [raw for raw in ("over.raw", "now.raw") if not differs(raw, "over.qcow2")]
    assert states and ("apply" in what or states == ["now.raw"]), f"{what}: reads as {states}"
    assert set(listed) <= {"one", "two"} and ("delete" in what or "one" in listed), f"{what}: {listed}"
    for name, raw in (("one", "over.raw"), ("two", "now.raw")):
        if name in listed:
            suite.run("qemu-img", "convert", "-f", "qcow2", "-l", name, "-O", "raw", "over.qcow2", "then.raw")
            assert suite.run("cmp", raw, "then.raw", check=False).returncode == 0, f"{what}: {name} differs"
    if number % 4 == 0:
        suite.run(suite.rhea_img, "check", "-q", "-r", "leaks", "over.qcow2", check=False)
        suite.run("qemu-io", "-f", "qcow2", "-c", f"write -P 9 {MIB} {4 * MIB}", "over.qcow2")
        suite.run("qemu-img", "check", "-q", "over.qcow2")


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
    only = sys.argv[4] if len(sys.argv) > 4 else ""
    for name in COMMANDS:
        if not name.startswith(only):
            continue
        for options in ("", "cluster_size=4k", "cluster_size=512") if name.startswith("snapshot") else ("", "cluster_size=4k"):
            if "each" in sys.argv[5:]:
                suite.case(f"faults/each/{name}/{options}", interrupted_at_each, name, options, rounds)
            else:
                suite.case(f"faults/{name}/{options}", interrupted, name, options, rounds)
    limits = [] if only else ["rlimit"]
    if only:
        pass
    elif may_mount():
        limits.append("tmpfs")
    else:
        print("skip interop/faults/tmpfs: a tmpfs cannot be mounted here (needs root)")
    for fmt, options in (("raw", ""), ("qcow2", ""), ("vdi", ""), ("vpc", ""), ("vmdk", ""), ("qed", ""), ("vhdx", "block_size=1M"),
                         ("vmdk", "subformat=streamOptimized")):
        for limit in limits:
            suite.case(f"faults/{limit}/{fmt}/{options}", no_room, fmt, options, limit)
    sys.exit(1 if suite.failed else 0)


main()
