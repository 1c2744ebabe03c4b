#!/usr/bin/env python3
"""Small images of each format, the seeds of formats_fuzz: make_image_corpus.py RHEA_IMG FOLDER.

The first byte of a seed chooses format and mode as src/block/formats/formats_fuzz.cc says; the numbers of the formats
are their places in src/block/registry.cc.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LARGEST = 70000
SAMPLES = [  # format, options, what else, bytes that are kept
    ("qcow2", "cluster_size=512", "", LARGEST), ("qcow2", "cluster_size=512", "packed", LARGEST),
    ("qcow2", "cluster_size=512", "snapshot", LARGEST), ("qcow2", "cluster_size=512,compat=0.10", "snapshot", LARGEST),
    ("qcow2", "cluster_size=512,refcount_bits=1", "", LARGEST), ("qcow2", "cluster_size=512,compression_type=zstd", "packed", LARGEST),
    ("qcow2", "cluster_size=16k,extended_l2=on", "", LARGEST), ("qed", "cluster_size=4k,table_size=1", "", LARGEST),
    ("vdi", "", "", 4096), ("vpc", "", "", 8192), ("vpc", "subformat=fixed", "", LARGEST), ("vmdk", "", "", LARGEST),
    ("vmdk", "subformat=streamOptimized", "", LARGEST), ("vmdk", "subformat=monolithicFlat", "", LARGEST),
]


def order():
    with open(os.path.join(ROOT, "src/block/registry.cc"), encoding="ascii") as file:
        return re.findall(r"&?(\w+)_driver\(\)[,}]", file.read())


def main():
    img, folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    os.makedirs(folder, exist_ok=True)
    numbers = order()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        with open("in.raw", "wb") as out:
            out.write(b"seed" * 512 + bytes(4096) + bytes(range(256)) * 4 + bytes(1024))
        for fmt, options, what, kept in SAMPLES:
            extra = (["-o", options] if options else []) + (["-c"] if what == "packed" else [])
            subprocess.run([img, "convert", "-f", "raw", "-O", fmt, *extra, "in.raw", "x"], check=True)
            if what == "snapshot":
                subprocess.run([img, "snapshot", "-c", "s", "x"], check=True)
            with open("x", "rb") as file:
                image = file.read()[:kept]
            name = re.sub(r"[^a-z0-9]+", "-", f"{fmt} {options} {what}".lower()).strip("-")
            with open(os.path.join(folder, name), "wb") as out:
                out.write(bytes([numbers.index(fmt) << 1 | 1]) + image)


main()
