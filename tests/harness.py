"""What suites of dialogues with the programs share: named tests, what they expect, and how their results are printed.

    suite = Suite("monitor")

    @suite.test
    def people_are_heard(): expect(...)

    if __name__ == "__main__": sys.exit(suite.main())
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("RHEA_BUILD", "build/release"))
PROGRAM = BUILD / "src/tools/system/rhea-system-x86_64"
QEMU = shutil.which(os.environ.get("QEMU", "qemu-system-x86_64"))


class Skip(Exception):
    """This cannot be tested here."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_for(condition, what, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"timed out: {what}")
        time.sleep(0.02)


def need_qemu():
    if QEMU is None:
        raise Skip("no qemu-system-x86_64")


class Suite:
    def __init__(self, name, after_each=lambda: None):
        self.name = name
        self.tests = []
        self.after_each = after_each
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"rhea-{name}-"))

    def test(self, function):
        self.tests.append(function)
        return function

    def _run(self, function):
        name = f"{self.name}/{function.__name__}"
        try:
            function()
            print(f"ok {name}", flush=True)
            return True
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
            return True
        except (AssertionError, OSError, subprocess.SubprocessError) as why:
            print(f"not ok {name}: {why}", flush=True)
            return False
        finally:
            self.after_each()

    def main(self):
        """Runs those whose names hold one of the program's arguments, or all; the exit status."""
        try:
            if not PROGRAM.exists():
                print(f"not ok {self.name}: {PROGRAM} is not built")
                return 1
            wanted = sys.argv[1:]
            chosen = [f for f in self.tests if not wanted or any(word in f.__name__ for word in wanted)]
            return 0 if all([self._run(function) for function in chosen]) else 1
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
