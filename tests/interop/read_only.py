#!/usr/bin/env python3
"""Formats that we only read: images made here from their specifications, or by qemu-img, read by both.

read_only.py BLOCK_TOOL RHEA_IMG
"""
import base64
import struct
import sys
import zlib

from common import MIB, Suite, make_raw, same

SIZE = 5 * MIB + 512 * 6


def content():
    make_raw("in.raw", SIZE, 7)
    with open("in.raw", "rb") as file:
        return file.read()


def compare(suite, fmt, image, raw="in.raw", probe=True):
    suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", image, "their.raw")
    same("their.raw", raw)
    suite.tool("dump", "-" if probe else fmt, image, "our.raw")
    same("our.raw", raw)
    suite.tool("map", fmt, image)
    their = suite.run("qemu-img", "info", "-f", fmt, "--output=json", image).stdout
    assert their == suite.run(suite.rhea_img, "info", "-f", fmt, "--output=json", image).stdout, their
    assert suite.tool("write", fmt, image, 0, 512, 1, check=False).returncode == 1


def parallels(suite):
    content()
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "parallels", "in.raw", "x")
    compare(suite, "parallels", "x")
    assert "corruptions 0" in suite.tool("check", "parallels", "x").stdout


def bochs(suite, version):
    data = content()
    extent, bitmap = 65536, 512
    count = -(-SIZE // extent)
    header = b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0") + b"Growing".ljust(16, b"\0")
    header += struct.pack("<IIIII", version, 512, count, bitmap, extent)
    header += struct.pack("<Q", SIZE) if version == 0x10000 else struct.pack("<IQ", 0, SIZE)
    catalog, extents = [], []
    for at in range(0, SIZE, extent):
        part = data[at:at + extent].ljust(extent, b"\0")
        if not any(part):
            catalog.append(0xffffffff)
            continue
        catalog.append(len(extents))
        bits = bytearray(bitmap)
        for sector in range(extent // 512):
            if any(part[sector * 512:sector * 512 + 512]):
                bits[sector // 8] |= 1 << sector % 8
        extents.append(bytes(bits) + part)
    with open("x", "wb") as out:
        out.write(header.ljust(512, b"\0") + struct.pack(f"<{count}I", *catalog) + b"".join(extents))
    compare(suite, "bochs", "x")


def cloop(suite):
    data = content()
    block = 65536
    parts = [zlib.compress(data[at:at + block].ljust(block, b"\0")) for at in range(0, SIZE, block)]
    script = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
    place = 136 + 8 * (len(parts) + 1)
    table = []
    for part in parts:
        table.append(place)
        place += len(part)
    table.append(place)
    with open("x", "wb") as out:
        out.write(script.ljust(128, b"\0") + struct.pack(">II", block, len(parts)))
        out.write(struct.pack(f">{len(table)}Q", *table) + b"".join(parts))
    compare(suite, "cloop", "x")


def adc(data):
    """A stream of plain runs, and copies for bytes that repeat."""
    out, at = bytearray(), 0
    while at < len(data):
        same_byte = 1
        while at + same_byte < len(data) and data[at + same_byte] == data[at] and same_byte < 68:
            same_byte += 1
        if same_byte > 8:
            out += bytes([0x80, data[at]])
            out += bytes([0x40 | same_byte - 1 - 4, 0, 0])
            at += same_byte
        else:
            run = data[at:at + 100]
            out += bytes([0x80 | len(run) - 1]) + run
            at += len(run)
    return bytes(out)


def dmg(suite, in_list):
    data = content()
    chunk = 256 * 1024
    body, entries = b"\0" * 512, []
    for number, at in enumerate(range(0, SIZE, chunk)):
        part = data[at:at + chunk]
        kind, packed = [(0x80000005, zlib.compress), (1, bytes)][number % 2]
        if not any(part):
            entries.append((2 if number % 2 else 0, 0, at // 512, len(part) // 512, len(body), 0))
            continue
        packed = packed(part)
        entries.append((kind, 0, at // 512, len(part) // 512, len(body), len(packed)))
        body += packed
    entries.append((0xffffffff, 0, SIZE // 512, 0, len(body), 0))
    mish = struct.pack(">IIQQQII", 0x6d697368, 1, 0, SIZE // 512, 0, chunk // 512 + 8, 0).ljust(200, b"\0")
    mish += struct.pack(">I", len(entries)) + b"".join(struct.pack(">IIQQQQ", *entry) for entry in entries)
    koly = bytearray(512)
    if in_list:
        text = base64.encodebytes(mish).decode()
        table = ('<?xml version="1.0"?><plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict>'
                 f"<key>Data</key><data>\n{text}</data></dict></array></dict></dict></plist>").encode()
        struct.pack_into(">QQ", koly, 216, len(body), len(table))
    else:
        resource = struct.pack(">I", len(mish)) + mish
        table = struct.pack(">IIII", 256, 256 + len(resource), len(resource), 50).ljust(256, b"\0") + resource
        table += struct.pack(">IIII", 256, 256 + len(resource), len(resource), 50).ljust(50, b"\0")
        struct.pack_into(">QQ", koly, 40, len(body), len(table))
    struct.pack_into(">IIII", koly, 0, 0x6b6f6c79, 4, 512, 1)
    struct.pack_into(">Q", koly, 32, len(body))
    struct.pack_into(">Q", koly, 492, SIZE // 512)
    with open("x.dmg", "wb") as out:
        out.write(body + table + koly)
    compare(suite, "dmg", "x.dmg")


def dmg_adc(suite):
    """Apple's own compression, which QEMU does not read."""
    data = content()[:MIB]
    with open("in.raw", "wb") as out:
        out.write(data)
    packed = adc(data)
    entries = [(0x80000004, 0, 0, MIB // 512, 0, len(packed)), (0xffffffff, 0, MIB // 512, 0, len(packed), 0)]
    mish = struct.pack(">IIQQQII", 0x6d697368, 1, 0, MIB // 512, 0, 0, 0).ljust(200, b"\0")
    mish += struct.pack(">I", len(entries)) + b"".join(struct.pack(">IIQQQQ", *entry) for entry in entries)
    table = b"<plist><data>" + base64.b64encode(mish) + b"</data></plist>"
    koly = bytearray(512)
    struct.pack_into(">IIII", koly, 0, 0x6b6f6c79, 4, 512, 1)
    struct.pack_into(">QQ", koly, 216, len(packed), len(table))
    struct.pack_into(">Q", koly, 492, MIB // 512)
    with open("x.dmg", "wb") as out:
        out.write(packed + table + koly)
    suite.tool("dump", "dmg", "x.dmg", "our.raw")
    same("our.raw", "in.raw")


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    suite.case("read_only/parallels", parallels)
    suite.case("read_only/bochs/1", bochs, 0x10000)
    suite.case("read_only/bochs/2", bochs, 0x20000)
    suite.case("read_only/cloop", cloop)
    suite.case("read_only/dmg/list", dmg, True)
    suite.case("read_only/dmg/resources", dmg, False)
    suite.case("read_only/dmg/adc", dmg_adc)
    sys.exit(1 if suite.failed else 0)


main()
