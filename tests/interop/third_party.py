#!/usr/bin/env python3
"""Images that we write, read by programs that share no code with QEMU: 7-Zip, libqcow, libvmdk, libvhdi.

third_party.py BLOCK_TOOL RHEA_IMG
"""
import os
import shutil
import subprocess
import sys
import time

from common import MIB, Suite, make_raw, same

SIZE = 12 * MIB
IMAGES = [
    # format, options, extra arguments, readers
    ("qcow2", "", [], ["7zz:qcow", "qcowmount:qcow1"]),
    ("qcow2", "compat=0.10", [], ["7zz:qcow", "qcowmount:qcow1"]),
    ("qcow2", "cluster_size=4k", [], ["7zz:qcow"]),
    ("qcow2", "", ["-c"], ["7zz:qcow", "qcowmount:qcow1"]),
    ("vdi", "", [], ["7zz:vdi"]),
    ("vdi", "static=on", [], ["7zz:vdi"]),
    ("vpc", "force_size=on", [], ["7zz:vhd", "vhdimount:vhdi1"]),
    ("vpc", "subformat=fixed,force_size=on", [], ["7zz:vhd", "vhdimount:vhdi1"]),
    ("vhdx", "", [], ["7zz:vhdx", "vhdimount:vhdi1"]),
    ("vmdk", "", [], ["7zz:vmdk", "vmdkmount:vmdk1"]),
    ("vmdk", "subformat=streamOptimized", [], ["vmdkmount:vmdk1"]),  # 7-Zip refuses, as it does QEMU's
    ("vmdk", "subformat=twoGbMaxExtentSparse", [], ["vmdkmount:vmdk1"]),
]


def made(suite, fmt, options, extra):
    make_raw("in.raw", SIZE, 12)
    suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", fmt, *extra, *(["-o", options] if options else []), "in.raw", f"x.{fmt}")
    return f"x.{fmt}"


def unpacked(suite, fmt, options, extra, kind):
    image = made(suite, fmt, options, extra)
    with open("back.raw", "wb") as out:
        done = subprocess.run(["7zz", "x", "-so", f"-t{kind}", image], stdout=out, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    same("back.raw", "in.raw")


def mounted(suite, fmt, options, extra, program, name):
    image = made(suite, fmt, options, extra)
    os.mkdir("mnt")
    # It goes on as a daemon that would keep a pipe open.
    done = subprocess.run([program, image, "mnt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0, f"{program} exits with {done.returncode}"
    try:
        for _ in range(50):
            if os.path.exists(f"mnt/{name}"):
                break
            time.sleep(0.1)
        same(f"mnt/{name}", "in.raw")
    finally:
        subprocess.run(["umount", "mnt"], check=True)


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    may_mount = os.geteuid() == 0 and os.path.exists("/dev/fuse")
    for fmt, options, extra, readers in IMAGES:
        for reader in readers:
            program, name = reader.split(":")
            title = f"third_party/{program}/{fmt}/{options}{'-c' if extra else ''}"
            if not shutil.which(program):
                print(f"skip interop/{title}: {program} is not installed")
            elif program == "7zz":
                suite.case(title, unpacked, fmt, options, extra, name)
            elif not may_mount:
                print(f"skip interop/{title}: mounting needs root and /dev/fuse")
            else:
                suite.case(title, mounted, fmt, options, extra, program, name)
    sys.exit(1 if suite.failed else 0)


main()
