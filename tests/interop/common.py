"""What the interop scripts share: images with known content, and running the two tools on them."""
import os
import random
import shutil
import subprocess
import sys
import tempfile

MIB = 1 << 20


class Suite:
    """Runs named checks in a scratch folder; prints ok and not ok lines."""

    def __init__(self, block_tool, rhea_img):
        self.block_tool = os.path.abspath(block_tool)
        self.rhea_img = os.path.abspath(rhea_img)
        self.failed = 0
        if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
            print("skip interop: qemu-img is not installed")
            sys.exit(77)

    def run(self, *command, check=True):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def tool(self, *words, check=True):
        return self.run(self.block_tool, *words, check=check)

    def case(self, name, function, *arguments):
        home = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="rhea-interop-") as scratch:
            os.chdir(scratch)
            try:
                function(self, *arguments)
                print(f"ok interop/{name}", flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                self.failed += 1
                print(f"{error}\nnot ok interop/{name}", flush=True)
            finally:
                os.chdir(home)


def make_raw(path, size, seed):
    """A raw file of holes, zeros, random and compressible parts, some of odd lengths."""
    generator = random.Random(seed)
    with open(path, "wb") as out:
        out.truncate(size)
        at = 0
        while at < size:
            length = min(size - at, generator.choice([512, 4096, 65536, 200 * 1024, MIB, 3 * MIB]))
            kind = generator.randrange(5)
            if kind == 1:
                out.seek(at)
                out.write(generator.randbytes(length))
            elif kind == 2:
                out.seek(at)
                out.write((b"compressible %8d " % at * (length // 22 + 1))[:length])
            at += length
        out.seek(size - 512)
        out.write(b"the end." * 64)


def same(a, b, size=None):
    """The first `size` bytes are equal; what is beyond in `a` is zeros."""
    with open(a, "rb") as left, open(b, "rb") as right:
        at = 0
        while True:
            x, y = left.read(MIB), right.read(MIB)
            if not x and not y:
                return
            length = max(len(x), len(y))
            assert x.ljust(length, b"\0") == y.ljust(length, b"\0"), f"{a} and {b} differ in the MiB at {at}"
            at += MIB
