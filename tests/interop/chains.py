#!/usr/bin/env python3
"""Backing images, the parents of differencing VHD images, and logs of VHDX images.

chains.py BLOCK_TOOL RHEA_IMG
"""
import struct
import sys

from common import MIB, Suite, make_raw, same

SIZE = 6 * MIB
CHANGES = [(0, 512, 1), (MIB - 512, 1024, 2), (3 * MIB + 512, MIB, 3), (SIZE - 512, 512, 4)]


def change(suite, fmt, image, by_us):
    for offset, length, byte in CHANGES:
        if by_us:
            suite.tool("write", fmt, image, offset, length, byte)
        else:
            suite.run("qemu-io", "-f", fmt, "-c", f"write -P {byte} {offset} {length}", image)
        suite.run("qemu-io", "-f", "raw", "-c", f"write -P {byte} {offset} {length}", "expected.raw")


def backing(suite, fmt, options, base_format, by_us):
    make_raw("in.raw", SIZE, 11)
    suite.run("cp", "in.raw", "expected.raw")
    suite.run("qemu-img", "convert", "-f", "raw", "-O", base_format, "in.raw", "base")
    extra = ["-o", options] if options else []
    maker = suite.rhea_img if by_us else "qemu-img"
    suite.run(maker, "create", "-q", "-f", fmt, "-b", "base", "-F", base_format, *extra, "top")
    change(suite, fmt, "top", by_us)
    for offset, length in ((2 * MIB, MIB), (4 * MIB + 512, 512)):
        suite.tool("zero", fmt, "top", offset, length)
        suite.run("qemu-io", "-f", "raw", "-c", f"write -z {offset} {length}", "expected.raw")
    suite.run("qemu-img", "convert", "-f", fmt, "-O", "raw", "top", "their.raw")
    same("their.raw", "expected.raw")
    suite.tool("dump", fmt, "top", "our.raw")
    same("our.raw", "expected.raw")
    suite.run("qemu-img", "check", "-f", fmt, "top")
    their = suite.run("qemu-img", "info", "--output=json", "top").stdout
    assert their == suite.run(suite.rhea_img, "info", "--output=json", "top").stdout, their


def changed_parent(suite):
    """A VMDK image on a parent that was written to since is refused, by both."""
    make_raw("in.raw", SIZE, 12)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "in.raw", "base")
    suite.run(suite.rhea_img, "create", "-q", "-f", "vmdk", "-b", "base", "-F", "vmdk", "top")
    suite.tool("dump", "vmdk", "top", "our.raw")
    suite.tool("write", "vmdk", "base", 0, 512, 1)
    assert suite.run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", "top", "their.raw", check=False).returncode == 1
    assert "was changed" in suite.tool("dump", "vmdk", "top", "our.raw", check=False).stderr


def refused(suite, fmt, options, message):
    done = suite.run(suite.rhea_img, "create", "-q", "-f", fmt, "-o", options, "x", "10M", check=False)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    their = suite.run("qemu-img", "create", "-q", "-f", fmt, "-o", options, "x", "10M", check=False)
    assert their.returncode == 1 and message in their.stderr, their.stderr


def vhd_checksum(data, at):
    struct.pack_into(">I", data, at, 0)
    struct.pack_into(">I", data, at, ~sum(data) & 0xffffffff)


def differencing(suite):
    """A VHD image made here: a child with some sectors of its own, the rest in a parent made by qemu-img."""
    make_raw("in.raw", SIZE, 13)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", "in.raw", "parent.vhd")
    with open("parent.vhd", "rb") as file:
        footer = bytearray(file.read(512))
        header = bytearray(file.read(1024))
    with open("in.raw", "rb") as file:
        data = bytearray(file.read())
    block = 2 * MIB
    bitmap = bytearray(512)
    own = bytearray(block)
    for sector in (0, 7, 8, 100, 4095):  # of the second block
        bitmap[sector // 8] |= 0x80 >> sector % 8
        own[sector * 512:sector * 512 + 512] = bytes([sector % 251 + 1]) * 512
        data[block + sector * 512:block + sector * 512 + 512] = own[sector * 512:sector * 512 + 512]
    struct.pack_into(">I", footer, 60, 4)
    vhd_checksum(footer, 64)
    name = ".\\parent.vhd".encode("utf-16-le")
    struct.pack_into(">IIIIQ", header, 576, 0x57327275, 512, len(name), 0, 2048)
    vhd_checksum(header, 36)
    table = struct.pack(">III", 0xffffffff, 2560 // 512, 0xffffffff).ljust(512, b"\xff")
    with open("child.vhd", "wb") as out:
        out.write(footer + header + table + name.ljust(512, b"\0") + bitmap + own + footer)
    with open("expected.raw", "wb") as out:
        out.write(data)
    suite.tool("dump", "vpc", "child.vhd", "our.raw")
    same("our.raw", "expected.raw")
    assert suite.tool("backing", "vpc", "child.vhd").stdout.strip() == "parent.vhd vpc"
    assert suite.tool("write", "vpc", "child.vhd", 0, 512, 1, check=False).returncode == 1


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def vhdx_log(suite):
    """An image whose last change is in its log alone: one sector of the metadata, and zeros over another."""
    suite.run("qemu-img", "create", "-q", "-f", "vhdx", "x", "32M")
    with open("x", "r+b") as file:
        file.seek(0x200000)
        table = bytearray(file.read(4096))
        file.seek(0, 2)
        end = file.tell()
        file.write(b"\x77" * (8 * MIB))  # the first block, which only the logged table knows
        struct.pack_into("<Q", table, 0, end | 6)
        log_id = bytes(range(1, 17))
        sequence = 5
        entry = bytearray(8192)
        struct.pack_into("<IIIIQII", entry, 0, 0x65676f6c, 0, 8192, 0, sequence, 2, 0)
        entry[32:48] = log_id
        struct.pack_into("<QQ", entry, 48, end + 8 * MIB, end + 8 * MIB)
        entry[64:96] = b"desc" + bytes(table[4092:4096]) + bytes(table[:8]) + struct.pack("<QQ", 0x200000, sequence)
        entry[96:128] = b"zero" + struct.pack("<IQQQ", 0, 4096, end + 4096, sequence)
        entry[4096:8192] = b"data" + struct.pack("<I", sequence >> 32) + table[8:4092] + struct.pack("<I", sequence)
        struct.pack_into("<I", entry, 4, crc32c(entry))
        file.seek(0x100000)
        file.write(entry)
        for place in (0x10000, 0x20000):
            file.seek(place)
            header = bytearray(file.read(4096))
            header[48:64] = log_id
            struct.pack_into("<I", header, 4, 0)
            struct.pack_into("<I", header, 4, crc32c(header))
            file.seek(place)
            file.write(header)
    suite.run("cp", "x", "y")
    assert "log" in suite.tool("dump", "vhdx", "x", "our.raw", check=False).stderr
    suite.tool("zero", "vhdx", "x", 20 * MIB, 512)
    suite.run("qemu-img", "check", "-r", "all", "y")
    suite.run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", "y", "their.raw")
    suite.tool("dump", "vhdx", "x", "our.raw")
    same("our.raw", "their.raw")
    with open("our.raw", "rb") as file:
        assert file.read(8192) == b"\x77" * 4096 + b"\0" * 4096


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    for by_us in (True, False):
        who = "ours" if by_us else "theirs"
        suite.case(f"chains/qed/{who}", backing, "qed", "", "raw", by_us)
        suite.case(f"chains/qed-on-qed/{who}", backing, "qed", "cluster_size=4096", "qed", by_us)
        suite.case(f"chains/vmdk/{who}", backing, "vmdk", "", "vmdk", by_us)
        suite.case(f"chains/vmdk-zeroed/{who}", backing, "vmdk", "zeroed_grain=on", "vmdk", by_us)
        suite.case(f"chains/vmdk-split/{who}", backing, "vmdk", "subformat=twoGbMaxExtentSparse", "vmdk", by_us)
    suite.case("chains/vmdk-changed-parent", changed_parent)
    suite.case("chains/vpc-differencing", differencing)
    suite.case("chains/vhdx-log", vhdx_log)
    for fmt, options, message in (
            ("vmdk", "subformat=foo", "invalid parameter value: foo"),
            ("vmdk", "adapter_type=foo", "invalid parameter value: foo"),
            ("vmdk", "compat6=on,hwversion=5", "compat6 cannot be enabled with hwversion set"),
            ("vpc", "subformat=foo", "Parameter 'subformat' does not accept value 'foo'"),
            ("vhdx", "subformat=foo", "Parameter 'subformat' does not accept value 'foo'"),
            ("vhdx", "block_size=3M", "Block size must be a power of two"),
            ("qed", "cluster_size=3k", "QED cluster size must be within range [4096, 67108864] and power of 2"),
            ("qed", "table_size=3", "QED table size must be within range [1, 16] and power of 2"),
            ("vdi", "preallocation=metadata", "Unsupported preallocation mode: metadata")):
        suite.case(f"chains/refused/{fmt}/{options}", refused, fmt, options, message)
    sys.exit(1 if suite.failed else 0)


main()
