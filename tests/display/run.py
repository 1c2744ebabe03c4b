#!/usr/bin/env python3
"""Looks at the screens of machines; prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import time

from common import BUILD, FOLDER, PROGRAM, Skip, dump, expect, lit, machine, read_ppm, suite, talk, test, wait_for_picture
import guest  # noqa: F401: more tests
import vnc  # noqa: F401


@test
def seabios_writes_on_the_text_screen():
    vm = machine("-nic", "none")
    try:
        hmp = talk.Hmp(vm.connect("hmp"))
        width, height, pixels = wait_for_picture(hmp, lambda w, h, p: (w, h) == (720, 400) and lit(p) > 5000)
        hmp.ask("stop")
        before = dump(hmp, "before.ppm")
        again = dump(hmp, "same.png", "-f png")
        expect(before == again, "PPM and PNG differ")
    finally:
        vm.end()


def look(path):
    """A VNC viewer that has seen everything and waits for more."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.settimeout(20)
    stream = client.makefile("rwb")

    def say(data):
        stream.write(data)
        stream.flush()

    expect(stream.read(12).startswith(b"RFB 003."), "no VNC server")
    say(b"RFB 003.008\n")
    stream.read(stream.read(1)[0])
    say(b"\x01")  # no authentication
    expect(stream.read(4) == bytes(4), "refused")
    say(b"\x01")
    width, height = struct.unpack(">HH", stream.read(4))
    stream.read(16)
    stream.read(struct.unpack(">I", stream.read(4))[0])
    say(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    expect(stream.read(1) == b"\0", "no update")
    return client


@test
def an_idle_screen_costs_no_time():
    vm = machine("-nic", "none", "-vnc", f"unix:{FOLDER}/vnc")
    try:
        hmp = talk.Hmp(vm.connect("hmp"))
        wait_for_picture(hmp, lambda w, h, p: lit(p) > 5000)
        viewer = look(FOLDER / "vnc")
        time.sleep(3)
        # The main thread, which does all that screens need; vCPUs are the guest's affair.
        stat = pathlib.Path(f"/proc/{vm.process.pid}/task/{vm.process.pid}/stat")
        ticks = lambda: sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13]))
        before = ticks()
        time.sleep(3)
        used = ticks() - before
        viewer.close()
        expect(used < 20, f"{used} ticks in 3 s")
    finally:
        vm.end()


@test
def no_graphics_card_is_a_black_screen():
    vm = machine("-nic", "none", "-vga", "none")
    try:
        hmp = talk.Hmp(vm.connect("hmp"))
        answer = hmp.ask(f"screendump {FOLDER}/none.ppm")
        expect(answer != "" or lit(read_ppm(FOLDER / "none.ppm")[2]) == 0, "something is shown")
    finally:
        vm.end()


def on_xvfb(toolkit):
    module = list(BUILD.rglob(f"rhea-ui-{toolkit}.so"))
    if not module or not all(map(shutil.which, ("Xvfb", "xdotool", "import"))):
        raise Skip("no module, Xvfb, xdotool or import")
    server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1400x1000x24"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    environment = dict(os.environ, DISPLAY=":" + server.stdout.readline().decode().strip())
    vm = subprocess.Popen([PROGRAM, "-display", toolkit, "-m", "64", "-nic", "none", "-name", "shown", "-serial", "null", "-monitor", "none"],
                          env=environment, stderr=subprocess.PIPE)

    def ask(*words):
        return subprocess.run(words, env=environment, capture_output=True, check=False).stdout

    try:
        end = time.monotonic() + 30
        while b"QEMU (shown)" not in ask("xdotool", "search", "--name", "QEMU", "getwindowname"):
            expect(time.monotonic() < end and vm.poll() is None, "no window")
            time.sleep(0.3)
        while True:
            picture = ask("import", "-window", "root", "ppm:-").split(b"\n", 3)[3]
            if lit(picture) > 20000:
                break
            expect(time.monotonic() < end, f"{lit(picture)} bytes lit in the window")
            time.sleep(0.5)
        ask("xdotool", "search", "--name", "QEMU", "windowfocus", "key", "ctrl+alt+q")
        expect(vm.wait(10) == 0, f"quitting the window ends with {vm.returncode}")
    finally:
        vm.kill()
        vm.wait()
        server.terminate()
        server.wait()


@test
def gtk_window_shows_the_screen_and_quits():
    on_xvfb("gtk")


@test
def sdl_window_shows_the_screen_and_quits():
    on_xvfb("sdl")


@test
def a_window_without_a_display_server_is_one_line():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([PROGRAM, "-display", "gtk", "-m", "16"], env=environment, capture_output=True, text=True,
                          timeout=20, check=False)
    expect(done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "DISPLAY" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(suite.main())
