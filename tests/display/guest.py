"""What a stock Linux hears when a VNC viewer types and points: layouts, QEMU's key numbers, VMware's mouse."""
import base64
import contextlib
import pathlib
import struct
import subprocess
import threading
import time

import rfb
from common import FOLDER, PROGRAM, Skip, expect, test

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/guest"
COMMANDS = """
dmesg | grep -i vmmouse
sleep 1
for d in /sys/class/input/event*; do
  case "$(cat $d/device/name)" in
    *Set\\ 2*) keys=/dev/input/${d##*/} ;;
    *VMMouse*) grep -q '^3$' $d/device/capabilities/abs && mouse=/dev/input/${d##*/} ;;
  esac
done
cat $keys >/tmp/keys &
[ -n "$mouse" ] && cat $mouse >/tmp/mouse &
ask ready
sleep 1
for f in keys mouse; do
  [ -s /tmp/$f ] && echo "$f $(base64 /tmp/$f | tr -d '\\n')"
done
mark "all done"
"""
SHIFT, ALT_GR = 42, 100
# Keysyms, and the keys (numbers of Linux) that are pressed for each on such a keyboard.
TYPED = {
    "de": [("z", [21]), ("y", [44]), (0xf6, [39]), (0xdf, [12]), ("-", [53]), ("?", [SHIFT, 12]), ("@", [ALT_GR, 16])],
    "fr": [("a", [16]), ("q", [30]), ("m", [39]), ("&", [2]), (0xe9, [3]), ("1", [SHIFT, 2]), ("_", [9])],
}


def guest():
    found = subprocess.run([SCRIPTS / "fetch-kernel.sh", "--modules", "amd64"], capture_output=True, text=True)
    lines = found.stdout.split()
    if found.returncode != 0 or len(lines) < 2:
        raise Skip(found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no kernel")
    image = FOLDER / "input.gz"
    if not image.exists():
        (FOLDER / "commands.sh").write_text(COMMANDS)
        made = subprocess.run([SCRIPTS / "make-initramfs.sh", "--mode", "commands", "--commands", FOLDER / "commands.sh",
                               "--modules", lines[1], "psmouse,evdev", image], capture_output=True, text=True)
        expect(made.returncode == 0, made.stderr)
    return lines[0], image


def heard_by_guest(act, *words):
    """What the guest says after act() has typed: with events in Base64 behind `keys` and `mouse`."""
    kernel, image = guest()
    place = FOLDER / "vnc"
    vm = subprocess.Popen([PROGRAM, "-nodefaults", "-vga", "std", "-vnc", f"unix:{place}", "-no-reboot", "-m", "256", "-serial", "stdio",
                           "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1", *words],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    watchdog = threading.Timer(120, vm.kill)
    watchdog.start()
    try:
        text = b""
        while b"@@ready" not in text:
            more = vm.stdout.read1(65536)
            expect(more, f"it has ended: {text[-500:]}")
            text += more
        time.sleep(1)
        viewer = rfb.Client(place, encodings=(rfb.RAW, rfb.DESKTOP_SIZE, rfb.EXTENDED_KEYS))
        viewer.see_all()
        act(viewer)
        time.sleep(2)
        vm.stdin.write(b"\n")
        vm.stdin.flush()
        rest, _ = vm.communicate()
        expect(b"@@all done" in rest, rest[-500:])
        return (text + rest).decode(errors="replace").replace("\r", "").splitlines()
    finally:
        watchdog.cancel()
        vm.kill()
        with contextlib.suppress(ValueError):
            vm.communicate()


def events(lines, name, kinds):
    """struct input_event, without its time."""
    data = base64.b64decode("".join(line.split()[1] for line in lines if line.startswith(name + " ")))
    found = [struct.unpack("<HHi", data[at + 16:at + 24]) for at in range(0, len(data) // 24 * 24, 24)]
    return [event for event in found if event[0] in kinds]


def type_all(viewer, what):
    """As viewers do: the modifiers that their user holds are keys as well."""
    symbols = {SHIFT: 0xffe1, ALT_GR: 0xfe03}
    for symbol, codes in what:
        modifiers = [symbols[code] for code in codes if code in symbols]
        for modifier in modifiers:
            viewer.key(modifier, 1)
        viewer.key(ord(symbol) if isinstance(symbol, str) else symbol)
        for modifier in modifiers:
            viewer.key(modifier, 0)
        time.sleep(0.1)


def presses(lines):
    return [code for _, code, value in events(lines, "keys", {1}) if value == 1]


@test
def vnc_types_on_a_german_keyboard_and_moves_vmwares_mouse():
    places = [(100, 50), (600, 350)]

    def act(viewer):
        type_all(viewer, TYPED["de"])
        viewer.extended_key(0, 0x1e)
        for x, y in places:
            viewer.pointer(x * viewer.width // 720, y * viewer.height // 400)
            time.sleep(0.2)
        viewer.pointer(viewer.width - 1, viewer.height - 1, 1)
        viewer.pointer(viewer.width - 1, viewer.height - 1, 0)
        viewer.pointer(viewer.width - 1, viewer.height - 1, 8)
        viewer.pointer(viewer.width - 1, viewer.height - 1, 0)

    # A guest looks for the mouse on what it takes for VMware's product.
    lines = heard_by_guest(act, "-k", "de", "-cpu", "max,-hypervisor", "-smbios", "type=1,serial=VMware-42")
    expected = [code for _, codes in TYPED["de"] for code in codes] + [30]
    expect(presses(lines) == expected, f"keys {presses(lines)}, not {expected}")
    expect(any("VMMouse" in line for line in lines), "no VMMouse in dmesg")
    seen = events(lines, "mouse", {1, 2, 3})
    across = [value for kind, code, value in seen if (kind, code) == (3, 0)]
    down = [value for kind, code, value in seen if (kind, code) == (3, 1)]
    wanted = [x * 65535 // 720 for x, _ in places] + [65534], [y * 65535 // 400 for _, y in places] + [65534]
    for got, want in zip((across, down), wanted):
        expect(len(got) == 3 and all(abs(a - b) < 400 for a, b in zip(got, want)), f"places {got}, not {want}")
    expect([value for kind, code, value in seen if (kind, code) == (1, 272)] == [1, 0], f"left button: {seen}")


@test
def vnc_types_on_a_french_keyboard():
    lines = heard_by_guest(lambda viewer: type_all(viewer, TYPED["fr"]), "-k", "fr", "-cpu", "max")
    expected = [code for _, codes in TYPED["fr"] for code in codes]
    expect(presses(lines) == expected, f"keys {presses(lines)}, not {expected}")
