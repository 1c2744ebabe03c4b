#!/usr/bin/env python3
"""Guests made of random bytes, in every mode: the host process must survive.

    tests/fuzz-guests/run.py [--runs N] [--seed S] [--seconds T] [--jobs J] [--mode MODE]

Each run builds a 64 KiB firmware image: a start-up that enters one mode (real,
unreal, 16- and 32-bit protected, PAE, long, compatibility, virtual-8086, ring 3)
with an IDT or IVT whose every entry leads back into random code, then bytes
that are random, or random words chosen from opcodes that reach deep into the
emulator. A run ends by itself (triple fault under -no-reboot, debug exit) or is
stopped after a short time with SIGTERM; both are fine. A host signal, an abort,
a sanitizer report, a process that ignores SIGTERM are not.

The seed of a failing run is printed with the command line to repeat it; its
image is kept in build/fuzz-guests. Exit 1 if any run failed.
"""
import argparse
import concurrent.futures
import os
import random
import signal
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BASE = 0xf0000            # the image is the last 64 KiB below 1 MiB, and below 4 GiB
MODES = ["real", "unreal", "protected16", "protected32", "ring3", "v86", "paging32", "pae", "long", "compat", "long3"]

# Instruction starts that reach segment, control, string, vector and device code.
SPICE = [bytes.fromhex(t) for t in (
    "0f01 0f00 0f20 0f22 0f21 0f23 0f30 0f32 0fa2 0f05 0f07 0f34 0f35 0f0b 0f09 0f06 0f01d0 0f01d1 0f01f9 0f01fa 0f01cb 0f01ca "
    "cd cf ca cb 9a ea ff ee ef e6 ed 6c 6d 6e 6f f3a4 f3aa f2ae f3a6 f3a5 f0 f00fc70f 0fc7 0fae c5 c4 62 8f 66 67 f3 f2 9b d9 dd "
    "8ec0 8ed8 8ee0 8ee8 8ed0 fa fb f4 fc fd 9d 9c c8 c9 60 61 62 63 0f38 0f3a 0f0d 0f18 0fa6 0fb0 0fc1 f00fb1 ff25 ff2d ff15 ff1d "
    "a0 a1 a2 a3 48 4c 0f01f8 f390 eb e9 e8 c3 70 e2 e3 0fb2 0fb4 0fb5 0f02 0f03 48cf 48cb f7 f6 d7 cc ce f1 d4 d5 27 37 "
    "0f0133 0f3f c6f8 c7f8 f30fc7 660fae 0f1b 0f1a 0f37 0f77 e4 e5").split()]


def gdt():
    flat = lambda access, flags: 0xffff | access << 40 | (0xf | flags << 4) << 48  # noqa: E731
    entries = [0, flat(0x9b, 0xc), flat(0x93, 0xc), flat(0x9b, 0xa), flat(0x9b, 0x0), flat(0x93, 0x0), flat(0xfb, 0xc), flat(0xf3, 0xc),
               flat(0xfb, 0xa), 0, 0, 0xffff | 0x89 << 40 | 0x6000 << 16, 0, 0x00008c0000080000 | 0xf000, 0x0000850000580000, 0]
    return b"".join(struct.pack("<Q", e) for e in entries)


class Image:
    """The last 64 KiB below 1 MiB. 0x000-0x7ff start code, 0x800 GDT, 0x1000 page tables, then random bytes."""

    def __init__(self, seed, mode=None):
        self.random = random.Random(seed)
        self.mode = self.random.choice(MODES)
        self.mode = mode or self.mode
        self.bytes = bytearray(self.noise(65536))
        self.code = bytearray()

    def noise(self, size):
        r = self.random
        if r.random() < 0.3:
            return r.randbytes(size)
        out = bytearray()
        while len(out) < size:
            if r.random() < 0.5:
                out += r.choice(SPICE)
            out += r.randbytes(r.randrange(0, 6))
        return bytes(out[:size])

    def emit(self, text):
        self.code += bytes.fromhex(text)

    def build(self):
        r = self.random
        gdt_at, stack = 0x800, 0x7000
        self.bytes[gdt_at:gdt_at + 128] = gdt()
        self.bytes[0x8f0:0x8f6] = struct.pack("<HI", 127, BASE + gdt_at)
        self.bytes[0x8f8:0x8fe] = struct.pack("<HI", 0x7ff, 0x10000)
        start = 0x2000 + r.randrange(0x4000)
        # 16-bit, CS = f000: clear, stack, an IVT (and IDT at 0x10000) whose entries lead into the noise.
        self.emit("fa fc 31c0 8ed8 8ec0 8ed0")
        self.code += b"\xbc" + struct.pack("<H", stack)
        self.emit("31ff b90001")                                            # di = 0, cx = 256
        loop = len(self.code)
        self.code += b"\xb8" + struct.pack("<H", start) + bytes.fromhex("01f8 25ff7f ab b800f0 ab")   # start + di, f000
        self.code += bytes([0xe2, (loop - len(self.code) - 2) & 0xff])
        if self.mode == "real":
            self.code += b"\xea" + struct.pack("<HH", start, 0xf000)
            return self.finish()
        self.emit("2e660f0116f008")                                         # lgdtl cs:[0x8f0]
        self.emit("0f20c0 0c01 0f22c0")                                     # PE
        if self.mode == "unreal":
            self.emit("b81000 8ed8 8ec0 8ee0 0f20c0 24fe 0f22c0 ea")
            self.code += struct.pack("<HH", start, 0xf000)
            return self.finish()
        if self.mode == "protected16":
            self.emit("b82800 8ed8 8ec0 8ed0 66ea")
            self.code += struct.pack("<IH", BASE + start, 0x08 if r.random() < 0.5 else 0x20)
            return self.finish()
        at = len(self.code) + 8
        self.code += b"\x66\xea" + struct.pack("<IH", BASE + at, 8)
        self.emit("66b81000 8ed8 8ec0 8ed0 8ee0 8ee8")                      # 32-bit from here
        self.code += b"\xbc" + struct.pack("<I", stack)
        # IDT at 0x10000: 32-bit interrupt gates, or 64-bit ones of 16 bytes, to the noise in the image.
        wide = self.mode in ("long", "compat", "long3")
        target = BASE + start
        selector = 0x18 if wide else 8
        low = (target & 0xffff) | selector << 16
        high = (target & 0xffff0000) | (0xee00 if r.random() < 0.5 else 0x8e00)
        self.code += b"\xbf" + struct.pack("<I", 0x10000) + b"\xb9" + struct.pack("<I", 128)
        loop = len(self.code)
        self.code += b"\xb8" + struct.pack("<I", low) + b"\xab" + b"\xb8" + struct.pack("<I", high) + b"\xab"
        if wide:
            self.emit("31c0 ab ab")
        self.code += bytes([0xe2, (loop - len(self.code) - 2) & 0xff])
        self.emit("0f011d") ; self.code += struct.pack("<I", BASE + 0x8f8)    # lidt
        self.emit("66b85800 0f00d8")                                        # ltr 0x58 (TSS at 0x6000)
        if self.mode in ("paging32", "pae", "long", "compat", "long3"):
            self.tables(wide)
        if self.mode in ("ring3", "v86"):
            if self.mode == "v86":
                for word in (0x9000, 0x9000, 0x9000, 0x9000):
                    self.code += b"\x68" + struct.pack("<I", word)
                self.code += b"\x68" + struct.pack("<I", 0x9000) + b"\x68" + struct.pack("<I", 0x1000)
                self.code += b"\x68" + struct.pack("<I", 0x20002 | r.choice([0, 0x3000])) + b"\x68" + struct.pack("<I", 0xf000)
                self.code += b"\x68" + struct.pack("<I", start)
            else:
                self.code += b"\x68" + struct.pack("<I", 0x3b) + b"\x68" + struct.pack("<I", stack)
                self.code += b"\x68" + struct.pack("<I", 2 | r.choice([0, 0x3000, 0x100])) + b"\x68" + struct.pack("<I", 0x33)
                self.code += b"\x68" + struct.pack("<I", target)
            self.emit("cf")
            return self.finish()
        if self.mode == "long3":
            self.code += b"\x68" + struct.pack("<I", 0x3b) + b"\x68" + struct.pack("<I", stack)   # 32-bit pushes: by compat IRET
            self.code += b"\x68" + struct.pack("<I", 2) + b"\x68" + struct.pack("<I", 0x43) + b"\x68" + struct.pack("<I", target)
            self.emit("cf")
            return self.finish()
        self.code += b"\xea" + struct.pack("<IH", target, 0x18 if self.mode == "long" else 8)
        return self.finish()

    def tables(self, wide):
        r = self.random
        self.emit("31c0 bf00000200 b900300000 f3ab")                        # clear 0x20000..0x2bfff
        user = 7 if r.random() < 0.7 else 3

        def entry(at, value):
            self.code += b"\xc7\x05" + struct.pack("<II", at, value & 0xffffffff)
        cr4 = 0x600 | r.choice([0, 0x80, 0x40000, 0x300000 if r.random() < 0.2 else 0])
        if self.mode == "paging32":
            for i in range(4):
                entry(0x20000 + 4 * i, i << 22 | 0x80 | user)
            entry(0x20000 + 4 * 1023, 0xffc00080 | user)
            cr4 |= 0x10
        else:
            if wide:
                entry(0x20000, 0x21000 | user)
                directory, pdpt = 0x22000, 0x21000
            else:
                directory, pdpt = 0x22000, 0x20000
            for i in range(4):
                entry(pdpt + 8 * i, directory + 0x1000 * i | (user if wide else 1))
            for i in range(8):
                entry(directory + 8 * i, i << 21 | 0x80 | user)
            entry(directory + 0x3000 + 8 * 511, 0xffe00080 | user)
            cr4 |= 0x20
        self.code += b"\xb8" + struct.pack("<I", cr4) + bytes.fromhex("0f22e0")
        self.code += b"\xb8" + struct.pack("<I", 0x20000) + bytes.fromhex("0f22d8")
        if wide:
            self.emit("b9800000c0 0f32 0d01090000 0f30")
        self.emit("0f20c0 0d00000080 0f22c0")

    def finish(self):
        assert len(self.code) < 0x7f0, len(self.code)
        self.bytes[0:len(self.code)] = self.code
        self.bytes[0xfff0:0xfff5] = b"\xea" + struct.pack("<HH", 0, 0xf000)
        return bytes(self.bytes)


def one(seed, options):
    image = Image(seed, options.mode)
    path = os.path.join(options.out, f"{seed}.bin")
    with open(path, "wb") as f:
        f.write(image.build())
    smp = image.random.choice([1, 1, 1, 2])
    cpu = image.random.choice(["max", "max", "qemu64", "Haswell", "EPYC"])
    command = [options.emulator, "-accel", options.accel, "-cpu", cpu, "-smp", str(smp), "-m", "16", "-nodefaults", "-no-user-config",
               "-display", "none", "-serial", "null", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", path]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
        stopped = stuck = False
        try:
            _, error = p.communicate(timeout=options.seconds)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGTERM)
            stopped = True
            try:
                _, error = p.communicate(timeout=10 + 5 * options.seconds)
            except subprocess.TimeoutExpired:
                stuck = True
                p.kill()
                _, error = p.communicate()
    text = error.decode("utf-8", "replace")
    bad = None
    if stuck:
        bad = "does not end on SIGTERM"
    elif p.returncode < 0 and not (stopped and p.returncode == -signal.SIGTERM):
        bad = f"host signal {-p.returncode}"
    elif "ERROR: AddressSanitizer" in text or "runtime error:" in text or "CHECK" in text or "assert" in text.lower():
        bad = "diagnostic: " + text.strip().splitlines()[-1][:200]
    if not bad:
        os.unlink(path)
        return None
    return f"seed {seed} mode {image.mode}: {bad}\n    {' '.join(command)}\n    {text.strip()[-300:]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", default=os.environ.get("RHEA_SYSTEM", os.path.join(ROOT, "build/release/src/tools/system/rhea-system-x86_64")))
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further run adds one")
    parser.add_argument("--seconds", type=float, default=0.3, help="a run is stopped after this")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, help="default: any")
    parser.add_argument("--list-modes", action="store_true")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "fuzz-guests"))
    options = parser.parse_args()
    if options.list_modes:
        print("\n".join(MODES))
        return
    os.makedirs(options.out, exist_ok=True)
    begin, failed = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda s: one(s, options), range(options.seed, options.seed + options.runs)):
            if result:
                failed += 1
                print("not ok " + result, flush=True)
    print(f"# seeds {options.seed} to {options.seed + options.runs - 1} in {time.monotonic() - begin:.0f} s")
    print(f"{options.runs - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
