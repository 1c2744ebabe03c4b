"""VNC: what viewers see, type and are told; a viewer of our own and, where they are installed, other people's."""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time

import rfb
from common import FOLDER, PROGRAM, Skip, dump, expect, lit, machine, read_ppm, talk, test, wait_for_picture

SIZE = 640, 480
ALL = (rfb.RAW, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE)


def splash():
    """A picture for SeaBIOS to show: slopes of all colours, areas of one, of few, and noise."""
    width, height = SIZE
    rows, noise = [], os.urandom(width * 3)
    for y in range(height):
        if y < 120:
            row = b"".join(bytes((x & 255, y * 2 & 255, (x ^ y) & 255)) for x in range(width))
        elif y < 240:
            row = noise[y:] + noise[:y]
        elif y < 360:
            row = b"".join(((0, 0, 255), (0, 255, 0), (9, 9, 9), (200, 200, 0), (7, 8, 9))[(x // 9 + y // 7) % 5][i].to_bytes(1, "big")
                           for x in range(width) for i in range(3))
        else:
            row = b"".join((b"\xff\xff\xff" if (x // 5 + y // 3) % 2 else b"\0\0\0") for x in range(width))
        rows.append(row)
    data = b"".join(reversed(rows))
    path = FOLDER / "splash.bmp"
    path.write_bytes(struct.pack("<2sIII", b"BM", 54 + len(data), 0, 54) +
                     struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(data), 2835, 2835, 0, 0) + data)
    return path


@contextlib.contextmanager
def shown(vnc, *words):
    """A machine that shows the picture for as long as it is looked at; its monitor."""
    vm = machine("-nic", "none", "-boot", f"menu=on,splash={splash()},splash-time=60000", "-vnc", vnc, *words)
    try:
        hmp = talk.Hmp(vm.connect("hmp"))
        wait_for_picture(hmp, lambda w, h, p: (w, h) == SIZE and lit(p) > 300000)
        yield vm, hmp
    finally:
        vm.end()


def refused(*words, **more):
    try:
        rfb.Client(*words, **more).close()
    except (rfb.Refused, ConnectionError) as why:
        return str(why) or "hung up"
    return ""


@test
def vnc_every_encoding_is_the_picture():
    place = FOLDER / "vnc"
    with shown(f"unix:{place}") as (_, hmp):
        expected = dump(hmp, "expected.ppm")
        for encoding in ALL:
            for level in (-256, -250, -247):  # of compression: 0, 6, 9
                viewer = rfb.Client(place, encodings=(encoding, level))
                viewer.see_all()
                got = viewer.width, viewer.height, viewer.rgb()
                viewer.close()
                expect(got == expected, f"{rfb.NAMES[encoding]} at level {level + 256} differs from the screen dump")


@test
def vnc_a_viewer_follows_a_new_size():
    place = FOLDER / "vnc"
    with shown(f"unix:{place}") as (_, hmp):
        for kind in (rfb.DESKTOP_SIZE, rfb.EXTENDED_SIZE):
            viewer = rfb.Client(place, encodings=(rfb.ZRLE, kind))
            viewer.see_all()
            viewer.seen.clear()
            for words, wanted in (("sendkey esc", (720, 400)), ("system_reset", SIZE)):  # the menu stays until a key
                hmp.ask(words)
                while (viewer.width, viewer.height) != wanted:
                    viewer.ask(incremental=True)
                    viewer.update()
                expect((kind, *wanted) in [(size[0], *size[3:]) for size in viewer.seen], f"sizes seen: {viewer.seen}")
            wait_for_picture(hmp, lambda w, h, p: (w, h) == SIZE and lit(p) > 300000)
            viewer.see_all()
            expect((viewer.width, viewer.height, viewer.rgb()) == dump(hmp, "expected.ppm"), "another picture")
            viewer.close()


@test
def vnc_a_viewer_may_ask_for_a_size():
    place = FOLDER / "vnc"
    with shown(f"unix:{place}"):
        viewer = rfb.Client(place, encodings=(rfb.RAW, rfb.EXTENDED_SIZE))
        viewer.see_all()
        viewer.seen.clear()
        viewer.resize(1024, 768)
        viewer.ask(incremental=True)
        viewer.update()
        expect(viewer.seen and viewer.seen[0][1] == 1, f"no answer: {viewer.seen}")
        viewer.close()


@test
def vnc_passwords():
    if shutil.which("openssl") is None:
        raise Skip("needs openssl")
    place = FOLDER / "vnc"
    with shown(f"unix:{place},password=on") as (vm, hmp):
        qmp = talk.Qmp(vm.connect("qmp"))
        expect(refused(place) != "", "in without a password")
        expect(refused(place, password="") != "", "in before a password was set")
        expect(hmp.ask("set_password vnc secret") == "", "set_password")
        expect("failed" in refused(place, password="wrong"), "in with the wrong one")
        expect(refused(place, password="secret") == "", "not in with the right one")
        hmp.ask("expire_password vnc now")
        expect(refused(place, password="secret") != "", "in after it has expired")
        expect(qmp.ask("expire_password", protocol="vnc", time="+60") == {"return": {}}, "expire_password")
        expect(refused(place, password="secret") == "", "it has expired too early")
        expect(qmp.ask("change-vnc-password", password="other") == {"return": {}}, "change-vnc-password")
        expect(refused(place, password="secret") != "" and refused(place, password="other") == "", "it was not changed")
        hmp.client.sendall(b"change vnc password\n")
        while not (echo := hmp.client.recv(4096)).endswith(b"Password: "):
            expect(echo, "no prompt")
        answer = hmp.ask("typed")
        expect("typed" not in answer and refused(place, password="typed") == "", f"asked for a password: {answer}")


@test
def vnc_programs_hear_of_viewers():
    place = FOLDER / "vnc"
    with shown(f"unix:{place}") as (vm, hmp):
        qmp = talk.Qmp(vm.connect("qmp"))
        viewer = rfb.Client(place)
        viewer.see_all()
        info = qmp.ask("query-vnc")["return"]
        expect(info["enabled"] and len(info["clients"]) == 1 and info["service"] == str(place), str(info))
        servers = qmp.ask("query-vnc-servers")["return"]
        expect(servers[0]["id"] == "default" and servers[0]["server"][0]["family"] == "unix", str(servers))
        expect("Client:" in hmp.ask("info vnc"), hmp.ask("info vnc"))
        viewer.close()
        end = time.monotonic() + 10
        while len([e for e in qmp.events if e["event"].startswith("VNC_")]) < 3:
            expect(time.monotonic() < end, str(qmp.events))
            qmp.ask("query-vnc")
        names = [event["event"] for event in qmp.events if event["event"].startswith("VNC_")]
        expect(names == ["VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED"], str(names))
        expect(qmp.events[0]["data"]["client"]["family"] == "unix", str(qmp.events[0]))


def free_display():
    for display in range(60, 90):
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as web:
            probe.bind(("127.0.0.1", 5900 + display))
            web.bind(("127.0.0.1", 5700 + display))
            return display
    raise Skip("no free port")


@test
def vnc_websocket_and_the_next_free_port():
    display = free_display()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 5900 + display))
        taken.listen()
        with shown(f"127.0.0.1:{display},to={display + 9},websocket=on") as (vm, hmp):
            service = int(talk.Qmp(vm.connect("qmp")).ask("query-vnc")["return"]["service"])
            expect(5900 + display < service <= 5909 + display, f"port {service}")
            expected = dump(hmp, "expected.ppm")
            web = [int(line.split("127.0.0.1:")[1].split()[0]) for line in hmp.ask("info vnc").splitlines() if "Websocket" in line]
            expect(len(web) == 1, hmp.ask("info vnc"))
            for place, websocket in ((("127.0.0.1", service), False), (("127.0.0.1", web[0]), True)):
                viewer = rfb.Client(place, websocket=websocket, encodings=(rfb.TIGHT,))
                viewer.see_all()
                expect((viewer.width, viewer.height, viewer.rgb()) == expected, f"another picture, websocket {websocket}")
                viewer.close()


@test
def vnc_calls_a_viewer_that_listens():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        with shown(f"127.0.0.1:{listener.getsockname()[1]},reverse=on") as (_, hmp):
            viewer = rfb.Client(listener.accept()[0], encodings=(rfb.ZRLE,))
            viewer.see_all()
            expect((viewer.width, viewer.height, viewer.rgb()) == dump(hmp, "expected.ppm"), "another picture")
            viewer.close()


def alive(viewer):
    try:
        viewer.see_all()
        return True
    except (rfb.Refused, ConnectionError):
        return False


@test
def vnc_who_shares():
    cases = {"allow-exclusive": (False, True), "force-shared": (True, False), "ignore": (True, True)}
    for share, (first_stays, second_comes) in cases.items():
        place = FOLDER / "vnc"
        with shown(f"unix:{place},share={share}"):
            first = rfb.Client(place)
            first.see_all()
            expect((refused(place, shared=False) == "") == second_comes, f"{share}: one that wants to be alone")
            expect(alive(first) == first_stays, f"{share}: the one before it")
            first.close()


@test
def vnc_what_is_cut_elsewhere_does_no_harm():
    place = FOLDER / "vnc"
    with shown(f"unix:{place}"):
        viewer = rfb.Client(place)
        for text in (b"", b"x", b"words " * 10000):
            viewer.cut_text(text)
        expect(alive(viewer), "gone after some text")
        with contextlib.suppress(OSError):
            viewer.line.write(struct.pack(">BxxxI", 6, 0xffffffff) + bytes(1 << 16))
        expect(not alive(viewer), "4 GiB are taken")
        viewer.close()
        expect(refused(place) == "", "the server is gone")


def outside(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise Skip(f"needs {tool}")


@test
def vnc_gvnccapture_takes_the_same_picture():
    outside("gvnccapture", "Xvfb", "convert")
    display = free_display()
    with shown(f"127.0.0.1:{display}") as (_, hmp), x_server() as environment:
        path = FOLDER / "captured.png"
        done = subprocess.run(["gvnccapture", f"127.0.0.1:{display}", path], env=environment, capture_output=True, timeout=60)
        expect(done.returncode == 0 and path.exists(), done.stderr.decode())
        subprocess.run(["convert", path, "-depth", "8", FOLDER / "captured.ppm"], check=True)
        expect(read_ppm(FOLDER / "captured.ppm") == dump(hmp, "expected.ppm"), "another picture")


@contextlib.contextmanager
def x_server():
    server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1400x1000x24"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    try:
        yield dict(os.environ, DISPLAY=":" + server.stdout.readline().decode().strip())
    finally:
        server.terminate()
        server.wait()


def window_of(environment, words, hmp, *, seconds=40):
    """Waits until some window of the viewer shows exactly the screen."""
    expected = dump(hmp, "expected.ppm")
    needle, width = expected[2], expected[0]
    viewer = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + seconds
        while True:
            got = subprocess.run(["import", "-window", "root", "-depth", "8", "ppm:-"], env=environment, capture_output=True).stdout
            _, size, _, pixels = got.split(b"\n", 3)
            across = int(size.split()[0])
            first = pixels.find(needle[:width * 3])
            if first >= 0 and all(pixels[first + y * across * 3:][:width * 3] == needle[y * width * 3:][:width * 3]
                                  for y in range(expected[1])):
                return
            expect(time.monotonic() < end and viewer.poll() is None, f"{words[0]} does not show the screen")
            time.sleep(0.5)
    finally:
        viewer.kill()
        viewer.communicate()


@test
def vnc_tigervnc_shows_the_screen():
    outside("xtigervncviewer", "Xvfb", "import")
    display = free_display()
    with shown(f"127.0.0.1:{display}") as (_, hmp), x_server() as environment:
        for encoding in ("Tight", "ZRLE", "Hextile", "Raw"):
            window_of(environment, ["xtigervncviewer", "-AutoSelect=0", f"-PreferredEncoding={encoding}", "-FullColour=1",
                                    "-AlertOnFatalError=0", f"127.0.0.1:{display}"], hmp)


@test
def vnc_tightvnc_shows_the_screen():
    outside("xtightvncviewer", "Xvfb", "import", "openssl")
    display = free_display()
    with shown(f"127.0.0.1:{display},password=on") as (_, hmp), x_server() as environment:
        hmp.ask("set_password vnc secret")
        (FOLDER / "passwd").write_bytes(rfb_password("secret"))
        for encoding in ("tight", "zlib", "hextile", "raw"):
            window_of(environment, ["xtightvncviewer", "-passwd", FOLDER / "passwd", "-nojpeg", "-encodings", encoding,
                                    f"127.0.0.1:{display}"], hmp)


def rfb_password(password):
    """The file that viewers keep a password in."""
    key = bytes((23, 82, 107, 6, 35, 78, 88, 7))
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    return subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-K", turned.hex(), "-provider", "legacy", "-provider", "default"],
                          input=password.encode()[:8].ljust(8, b"\0"), capture_output=True, check=True).stdout
