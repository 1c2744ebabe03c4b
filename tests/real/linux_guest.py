"""A stock kernel's machine whose console is read line by line, with a monitor, and the frame of the scripts that use
it: EMULATOR ACCELERATOR FOLDER [NAME...]."""
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMULATOR, ACCELERATOR = sys.argv[1:3]
FOLDER = pathlib.Path(sys.argv[3]).resolve()
SLOW = int(os.environ.get("RHEA_REAL_SLOW", "1"))
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


@functools.cache
def kernel():
    done = subprocess.run([ROOT / "scripts/guest/fetch-kernel.sh", "--modules", "amd64"], capture_output=True, text=True,
                          check=False)
    lines = done.stdout.split()
    if done.returncode != 0 or len(lines) != 2:
        raise Skip(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no kernel")
    return lines


@functools.cache
def initramfs(commands, modules, extra):
    number = len(list(FOLDER.glob("commands*.sh")))
    script, out = FOLDER / f"commands{number}.sh", FOLDER / f"initramfs{number}.gz"
    script.write_text(commands)
    done = subprocess.run([ROOT / "scripts/guest/make-initramfs.sh", "--mode", "commands", "--commands", script, "--modules",
                           kernel()[1], modules, *extra, out], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip("no initramfs: " + done.stderr.strip())
    return out


class Guest:
    """A machine whose console is read line by line, with a monitor."""

    def __init__(self, name, commands, *options, prefix=(), pass_fds=(), modules="e1000,virtio_pci,virtio_net", extra=()):
        self.name, self.heard = name, ""
        path = FOLDER / f"{name}.monitor"
        path.unlink(missing_ok=True)
        self.log = open(FOLDER / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [*prefix, EMULATOR, "-accel", ACCELERATOR, "-nodefaults", "-display", "none", "-no-reboot", "-cpu", "max", "-m", "256",
             "-serial", "stdio", "-kernel", kernel()[0], "-initrd", initramfs(commands, modules, tuple(extra)), "-append",
             "console=ttyS0 quiet panic=-1 no_timer_check", "-monitor", f"unix:{path},server=on,wait=off", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=pass_fds)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.path, self.monitor = path, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        if self.monitor:
            self.monitor.close()

    def wait(self, pattern, seconds=90):
        end = time.monotonic() + seconds * SLOW
        while not (found := re.search(pattern, self.heard)):
            expect(time.monotonic() < end, f"no '{pattern}'")
            if part := self.process.stdout.read():
                self.log.write(part)
                self.log.flush()
                self.heard += part.decode(errors="replace").replace("\r", "")
            elif self.process.poll() is not None and part == b"":
                expect(re.search(pattern, self.heard), f"it ended without '{pattern}'")
            else:
                time.sleep(0.05)
        self.heard = self.heard[found.end():]
        return found

    def answer(self, text="go"):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def command(self, text):
        """What the monitor prints."""
        if self.monitor is None:
            self.monitor = socket.socket(socket.AF_UNIX)
            self.monitor.settimeout(20 * SLOW)
            self.monitor.connect(str(self.path))
            self.printed()
        self.monitor.sendall(text.encode() + b"\n")
        return self.printed().split("\r\n", 1)[-1].replace("\r", "")

    def printed(self):
        out = b""
        while not out.endswith(b"(qemu) "):
            part = self.monitor.recv(4096)
            expect(part, "the monitor closed")
            out += part
        return out[:-len(b"(qemu) ")].decode()


def main(prefix):
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = False
    for function in TESTS:
        name = prefix + function.__name__.replace("_", "-")
        if sys.argv[4:] and name not in sys.argv[4:]:
            continue
        try:
            function()
            print(f"ok {name}", flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as why:
            failed = True
            print(f"not ok {name}: {why}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True) if not failed else None
    sys.exit(failed)

