#!/usr/bin/env python3
"""What NBD servers say, the seeds of nbd_fuzz: make_nbd_corpus.py FOLDER.

The layout is that of src/block/protocols/nbd_fuzz.cc, the numbers are the protocol's.
"""
import os
import struct
import sys

TLS, COOKIES, WRITES = 1, 2, 4
GO, STRUCTURED, CONTEXT, START_TLS, EXPORT_NAME = 7, 8, 10, 5, 1
ACK, INFO, META = 1, 3, 4
UNSUPPORTED = (1 << 31) | 1
SIZE = 200000


def hello(flags=3):
    return b"NBDMAGICIHAVEOPT" + struct.pack(">H", flags)


def reply(option, kind, data=b""):
    return struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data


def export(flags=0x16D, size=SIZE):
    return reply(GO, INFO, struct.pack(">HQH", 0, size, flags))


def blocks(least=1, most=1 << 25):
    return reply(GO, INFO, struct.pack(">HIII", 3, least, 4096, most))


def chunk(kind, data, last=True):
    return struct.pack(">IHHQI", 0x668E33EF, int(last), kind, 0, len(data)) + data


def data_chunk(offset, length, last=True):
    return chunk(1, struct.pack(">Q", offset) + bytes(range(256)) * (length // 256) + b"x" * (length % 256), last)


def hole(offset, length, last=True):
    return chunk(2, struct.pack(">QI", offset, length), last)


def status(*extents, context=5):
    return chunk(5, struct.pack(">I", context) + b"".join(struct.pack(">II", *one) for one in extents))


def simple(error=0, data=b""):
    return struct.pack(">IIQ", 0x67446698, error, 0) + data


def failed(number, words=b"no"):
    return chunk(0x8001, struct.pack(">IH", number, len(words)) + words)


def seed(mode, *pieces):
    return bytes([mode]) + b"".join(struct.pack("<H", len(piece)) + piece for piece in pieces)


STRUCTURED_YES = reply(STRUCTURED, ACK) + reply(CONTEXT, META, struct.pack(">I", 5) + b"base:allocation") + reply(CONTEXT, ACK)
STRUCTURED_NO = reply(STRUCTURED, UNSUPPORTED)
NONE = chunk(0, b"")
SEEDS = {
    "structured": seed(COOKIES | WRITES, hello() + STRUCTURED_YES + export() + blocks() + reply(GO, ACK),
                       hole(4096, 65904, False) + data_chunk(0, 4096), status((65536, 3)), status((134464, 0)), data_chunk(SIZE - 100, 100), NONE, NONE,
                       NONE, NONE),
    "blocks": seed(COOKIES | WRITES, hello() + STRUCTURED_YES + export(size=8192) + blocks(4096, 65536) + reply(GO, ACK), hole(0, 8192),
                   status((4096, 0), (4096, 1)), status((4096, 2)), hole(4096, 4096), hole(0, 4096), hole(0, 4096), NONE, NONE, NONE, NONE),
    "simple": seed(COOKIES | WRITES, hello() + STRUCTURED_NO + export(0x2D, 600) + reply(GO, ACK), simple(data=b"d" * 600), simple(data=b"e" * 100),
                   simple(), simple(28), simple()),
    "read_only": seed(COOKIES, hello() + STRUCTURED_YES + export(0x3) + reply(GO, ACK), failed(5), failed(22), NONE),
    "old": seed(COOKIES, hello() + STRUCTURED_NO + reply(GO, UNSUPPORTED, b"what?") + struct.pack(">QH", 500, 1), simple(data=b"o" * 500)),
    "not_fixed": seed(COOKIES, hello(0) + struct.pack(">QH", 500, 1) + bytes(124), simple(data=b"n" * 500)),
    "refused": seed(0, hello() + STRUCTURED_NO + reply(GO, (1 << 31) | 2, b"go \x1b[31maway")),
    "wants_tls": seed(0, hello() + reply(STRUCTURED, (1 << 31) | 5, b"TLS first")),
    "tls": seed(TLS, hello() + reply(START_TLS, ACK) + b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00" + b"\x15\x03\x03\x00\x02\x02\x28"),
    "no_tls": seed(TLS, hello() + reply(START_TLS, UNSUPPORTED)),
    "tls_server_hello": seed(TLS, hello() + reply(START_TLS, ACK) + b"\x16\x03\x03\x00\x4a\x02\x00\x00\x46\x03\x03" + bytes(32) + b"\x20" + bytes(32)
                             + b"\x13\x01\x00\x00\x00"),
    "address": b"nbd+unix:///disk%41?socket=/tmp/s\n",
    "address_old": b"nbd:[::1]:10809:exportname=disk\n",
}


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, content in SEEDS.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(content)


main()
