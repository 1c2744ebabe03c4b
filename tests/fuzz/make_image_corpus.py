#!/usr/bin/env python3
"""Small images of each format, the seeds of formats_fuzz: make_image_corpus.py RHEA_IMG FOLDER.

The first byte of a seed chooses format and mode as src/block/formats/formats_fuzz.cc says; the numbers of the formats
are their places in src/block/registry.cc. What rhea-img only reads is made here, from the formats' descriptions.
"""
import base64
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LARGEST = 70000
PAGE = 4096
CONTENT = b"seed" * 512 + bytes(4096) + bytes(range(256)) * 4 + bytes(1024)
SAMPLES = [  # format, options, what else, bytes that are kept
    ("qcow2", "cluster_size=512", "", LARGEST), ("qcow2", "cluster_size=512", "packed", LARGEST),
    ("qcow2", "cluster_size=512", "snapshot", LARGEST), ("qcow2", "cluster_size=512,compat=0.10", "snapshot", LARGEST),
    ("qcow2", "cluster_size=512", "bitmap", LARGEST),
    ("qcow2", "cluster_size=512,refcount_bits=1", "", LARGEST), ("qcow2", "cluster_size=512,compression_type=zstd", "packed", LARGEST),
    ("qcow2", "cluster_size=16k,extended_l2=on", "", LARGEST), ("qed", "cluster_size=4k,table_size=1", "", LARGEST),
    ("vdi", "", "", 4096), ("vpc", "", "", 8192), ("vpc", "subformat=fixed", "", LARGEST), ("vmdk", "", "", LARGEST),
    ("vmdk", "subformat=streamOptimized", "", LARGEST), ("vmdk", "subformat=monolithicFlat", "", LARGEST),
    ("vhdx", "block_size=1M,log_size=1M", "pages", 0), ("vhdx", "block_size=1M,log_size=1M", "pages log", 0),
    ("luks", "key-secret=s,cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,iter-time=1", "pages", 0),
]


def order():
    with open(os.path.join(ROOT, "src/block/registry.cc"), encoding="ascii") as file:
        return re.findall(r"&?(\w+)_driver\(\)[,}]", file.read())


def pages(image):
    """The pages that are not zeros, and the last, which tells the size."""
    out = b""
    for number in range(-(-len(image) // PAGE)):
        page = image[number * PAGE:number * PAGE + PAGE]
        if any(page) or (number + 1) * PAGE >= len(image):
            out += struct.pack("<H", number) + page.ljust(PAGE, b"\0")
    return out


def with_log(image):
    """A VHDX image of which the log says to write a page and to empty one. (Checksums are the fuzzer's work.)"""
    image, log = bytearray(image), b"L" * 16
    for header in (0x10000, 0x20000):
        image[header + 48:header + 64] = log
    entry = b"loge" + struct.pack("<IIIQII", 0, 2 * PAGE, 0, 1, 2, 0) + log + struct.pack("<QQ", len(image), len(image))
    entry += struct.pack("<4sIQQQ", b"desc", 0, 0, len(image) - PAGE, 1) + struct.pack("<4sIQQQ", b"zero", 0, PAGE, len(image) - 2 * PAGE, 1)
    image[1 << 20:(1 << 20) + 2 * PAGE] = entry.ljust(PAGE, b"\0") + b"data" + struct.pack("<I", 0) + b"x" * (PAGE - 12) + struct.pack("<I", 1)
    return bytes(image)


def parallels(version):
    block, blocks = 8, 4
    head = struct.pack("<16sIIIIIQIII", version, 2, 16, 4, block, blocks, block * blocks, 0, block, 0).ljust(64, b"\0")
    scale = 1 if version == b"WithoutFreeSpace" else block
    table = struct.pack("<4I", block // scale, 0, 2 * block // scale, 0)
    return (head + table).ljust(block * 512, b"\0") + b"P" * (2 * block * 512)


def bochs(version):
    extent, count = 4096, 4
    head = b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0") + b"Growing".ljust(16, b"\0")
    head += struct.pack("<IIIII", version, 512, count, 512, extent)
    head += struct.pack("<Q", extent * count) if version == 0x10000 else struct.pack("<IQ", 0, extent * count)
    extents = b"".join((b"\x0f".ljust(512, b"\0") + bytes([0x40 + i]) * extent) for i in range(2))
    return head.ljust(512, b"\0") + struct.pack("<4I", 0, 0xffffffff, 1, 0xffffffff) + extents


def cloop():
    block, data = 512, CONTENT[:4096]
    parts = [zlib.compress(data[at:at + block]) for at in range(0, len(data), block)]
    place, table = 136 + 8 * (len(parts) + 1), []
    for part in parts + [b""]:
        table.append(place)
        place += len(part)
    return (b"#!/bin/sh\n#V2.0 Format\n".ljust(128, b"\0") + struct.pack(">II", block, len(parts))
            + struct.pack(f">{len(table)}Q", *table) + b"".join(parts))


def dmg(in_list, packed, kind):
    sectors = 16
    entries = [(kind, 0, 0, 8, 0, len(packed)), (0, 0, 8, 4, 0, 0), (1, 0, 12, 4, 0, 2048), (0xffffffff, 0, sectors, 0, 0, 0)]
    body = packed.ljust(2048, b"\1")
    mish = struct.pack(">IIQQQII", 0x6d697368, 1, 0, sectors, 0, 8, 0).ljust(200, b"\0")
    mish += struct.pack(">I", len(entries)) + b"".join(struct.pack(">IIQQQQ", *entry) for entry in entries)
    koly = bytearray(512)
    if in_list:
        table = b"<plist><dict><key>blkx</key><array><data>" + base64.b64encode(mish) + b"</data></array></dict></plist>"
        struct.pack_into(">QQ", koly, 216, len(body), len(table))
    else:
        resource = struct.pack(">I", len(mish)) + mish
        head = struct.pack(">IIII", 256, 256 + len(resource), len(resource), 50)
        table = head.ljust(256, b"\0") + resource + head.ljust(50, b"\0")
        struct.pack_into(">QQ", koly, 40, len(body), len(table))
    struct.pack_into(">IIII", koly, 0, 0x6b6f6c79, 4, 512, 1)
    struct.pack_into(">Q", koly, 32, len(body))
    struct.pack_into(">Q", koly, 492, sectors)
    return body + table + bytes(koly)


def only_read():
    adc = b"\xbf" + b"a" * 64 + b"\x7f\x00\x3f" * 60 + b"\x03\x01"
    yield "parallels", "old", parallels(b"WithoutFreeSpace")
    yield "parallels", "extended", parallels(b"WithouFreSpacExt")
    yield "bochs", "1", bochs(0x10000)
    yield "bochs", "2", bochs(0x20000)
    yield "cloop", "", cloop()
    yield "dmg", "list", dmg(True, zlib.compress(CONTENT[:4096]), 0x80000005)
    yield "dmg", "resources", dmg(False, zlib.compress(CONTENT[:4096]), 0x80000005)
    yield "dmg", "adc", dmg(True, adc, 0x80000004)


def made_by(img, fmt, options, what, kept):
    extra = (["-o", options] if options else []) + (["-c"] if what == "packed" else [])
    if fmt == "luks":
        subprocess.run([img, "create", "-q", "--object", "secret,id=s,data=exercise", "-f", fmt, *extra, "x", "4k"], check=True)
    else:
        subprocess.run([img, "convert", "-f", "raw", "-O", fmt, *extra, "in.raw", "x"], check=True)
    if what == "snapshot":
        subprocess.run([img, "snapshot", "-c", "s", "x"], check=True)
    if what == "bitmap":
        subprocess.run([img, "bitmap", "--add", "-g", "512", "x", "b"], check=True)
        subprocess.run(["qemu-io", "-f", fmt, "-c", "write -P 5 0 2k", "x"], check=True, stdout=subprocess.DEVNULL)
    with open("x", "rb") as file:
        image = file.read()
    if "log" in what:
        image = with_log(image)
    return pages(image) if "pages" in what else image[:kept]


def main():
    img, folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    os.makedirs(folder, exist_ok=True)
    numbers = order()

    def save(fmt, words, mode, image):
        name = re.sub(r"[^a-z0-9]+", "-", f"{fmt} {words}".lower()).strip("-")
        with open(os.path.join(folder, name), "wb") as out:
            out.write(bytes([numbers.index(fmt) << 1 | mode]) + image)

    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        with open("in.raw", "wb") as out:
            out.write(CONTENT)
        for fmt, options, what, kept in SAMPLES:
            save(fmt, f"{options} {what}", 0x81 if "pages" in what else 1, made_by(img, fmt, options, what, kept))
    for fmt, words, image in only_read():
        save(fmt, words, 0, image)


main()
