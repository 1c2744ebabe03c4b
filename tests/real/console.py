#!/usr/bin/env python3
"""A dialogue with a guest on its first serial port, its keyboard and its screen.

    console.py LOG SECONDS STEP... -- EMULATOR OPTIONS...

Steps, in their order; SECONDS is the limit of all together:
    expect REGEX     the serial port prints it, behind what was expected last
    absent REGEX     it has not been printed anywhere until now
    send TEXT        typed on the serial port (\\r, \\x1b … as in Python)
    key NAME...      keys of the machine's keyboard, as the monitor's sendkey names them
    screen REGEX     the VGA text screen shows it
    picture COLOURS  the screen stands still for two seconds and has so many different colours
    changed          it looks different than at the last `picture` or `changed`, and stands still
    shot FILE        the screen as a picture
    wait SECONDS     nothing
    monitor LINE     a line for the monitor; what it answers goes to the log
    end              the emulator ends by itself with status 0

Prints `ok`, or why not. LOG gets what the serial port printed.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time


class Failure(Exception):
    pass


class Machine:
    def __init__(self, words, log):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="rhea-console-"))
        self.printed, self.at = b"", 0
        self.log = open(log, "wb", buffering=0)
        monitor = f"unix:{self.place}/monitor,server=on,wait=off"
        self.process = subprocess.Popen([*words, "-serial", "stdio", "-monitor", monitor], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.talk = None

    def read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.log.write(data)
            self.printed += data

    def text(self):
        """What was printed, without the colours and cursor movements of terminals."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[78=>]", "", self.printed.decode("utf-8", "replace"))

    def monitor(self, line):
        if self.talk is None:
            for _ in range(100):
                try:
                    self.talk = socket.socket(socket.AF_UNIX)
                    self.talk.connect(f"{self.place}/monitor")
                    break
                except OSError:
                    time.sleep(0.1)
            self.talk.settimeout(30)
            self.answer()
        self.talk.sendall(line.encode() + b"\n")
        return self.answer()

    def answer(self):
        said = b""
        while not said.endswith(b"(qemu) "):
            data = self.talk.recv(65536)
            if not data:
                raise Failure("the monitor has gone")
            said += data
        return said.decode("utf-8", "replace")

    def screen(self):
        cells = self.place / "cells"
        self.monitor(f'pmemsave 0xb8000 4000 "{cells}"')
        data = cells.read_bytes()
        return "\n".join(bytes(data[line:line + 160:2]).decode("cp437").rstrip() for line in range(0, 4000, 160))

    def pixels(self):
        picture = self.place / "picture.ppm"
        self.monitor(f"screendump {picture}")
        return picture.read_bytes().split(b"\n255\n", 1)[1]

    def still(self, fits):
        before = self.pixels()
        time.sleep(2)
        if before != self.pixels() or not fits(before):
            return False
        self.seen = before
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(2)
        shutil.rmtree(self.place)


def until(machine, end, what, condition):
    while not condition():
        if machine.process.poll() is not None and not machine.reader.is_alive() and not condition():
            raise Failure(f"the emulator has ended ({machine.process.returncode}) before {what}")
        if time.monotonic() > end:
            raise Failure(f"time is up before {what}")
        time.sleep(0.1)


def carry_out(machine, end, step):
    verb, _, rest = step.partition(" ")
    if verb == "expect":
        def seen():
            found = re.compile(rest, re.S).search(machine.text(), machine.at)
            if found:
                machine.at = found.end()
            return found
        until(machine, end, f"'{rest}'", seen)
    elif verb == "absent":
        if re.search(rest, machine.text(), re.S):
            raise Failure(f"there was '{rest}'")
    elif verb == "send":
        machine.process.stdin.write(rest.encode().decode("unicode_escape").encode())
        machine.process.stdin.flush()
    elif verb == "key":
        for name in rest.split():
            machine.monitor(f"sendkey {name}")
            time.sleep(0.25)
    elif verb == "screen":
        until(machine, end, f"'{rest}' on the screen", lambda: re.search(rest, machine.screen(), re.S))
    elif verb == "picture":
        def colours(pixels):
            return len({pixels[i:i + 3] for i in range(0, len(pixels), 3)})
        until(machine, end, f"a picture of {rest} colours", lambda: machine.still(lambda pixels: colours(pixels) >= int(rest)))
    elif verb == "changed":
        before = machine.seen
        until(machine, end, "another picture", lambda: machine.still(lambda pixels: pixels != before))
    elif verb == "shot":
        machine.monitor(f"screendump {rest} -f png")
    elif verb == "wait":
        time.sleep(float(rest))
    elif verb == "monitor":
        machine.log.write(f"[{rest}] {machine.monitor(rest)}\n".encode())
    elif verb == "end":
        until(machine, end, "its end", lambda: machine.process.poll() is not None)
        if machine.process.returncode:
            raise Failure(f"the emulator ended with {machine.process.returncode}")
    else:
        raise Failure(f"unknown step '{step}'")


def main(words):
    cut = words.index("--")
    log, seconds, steps = words[0], float(words[1]), words[2:cut]
    machine = Machine(words[cut + 1:], log)
    try:
        for step in steps:
            carry_out(machine, START + seconds, step)
        print("ok")
        return 0
    except (Failure, OSError) as error:
        print(error)
        return 1
    finally:
        machine.close()


START = time.monotonic()
sys.exit(main(sys.argv[1:]))
