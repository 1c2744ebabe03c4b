#!/usr/bin/env python3
"""Bad input and faults of the host: what each becomes for the guest, its user and programs. The guest is a firmware of a
few commands on its serial line that reads and writes sectors."""
import contextlib
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import time

import firmware

sys.path[1:1] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent / "monitor")]
import talk  # noqa: E402
from harness import BUILD, PROGRAM, Skip, Suite, expect, wait_for  # noqa: E402

suite = Suite("faults", talk.Machine.end_all)
test, FOLDER = suite.test, suite.folder

# A letter and a sector number of two bytes: r reads it from the first hard disk ('D' and its first byte, or 'E' and the
# error register), w writes it full of its number, f writes and flushes all sectors below it ('W'), c reads a block of
# the CD-ROM.
GUEST = """
    cld
    xor %ax, %ax
    mov %ax, %es
next:
    call getc
    mov %al, %bl
    call getc
    mov %al, %cl
    call getc
    mov %al, %ch
    cmp $'r', %bl
    je read
    cmp $'w', %bl
    je write
    cmp $'f', %bl
    je fill
    cmp $'c', %bl
    je cdrom
    jmp next
getc:
    mov $0x3fd, %dx
1:  in %dx, %al
    test $1, %al
    jz 1b
    mov $0x3f8, %dx
    in %dx, %al
    ret
command:                    # AH, for sector CX
    mov $0x1f6, %dx
    mov $0xe0, %al
    out %al, %dx
    mov $0x1f2, %dx
    mov $1, %al
    out %al, %dx
    inc %dx
    mov %cl, %al
    out %al, %dx
    inc %dx
    mov %ch, %al
    out %al, %dx
    inc %dx
    xor %al, %al
    out %al, %dx
    mov $0x1f7, %dx
    mov %ah, %al
    out %al, %dx
ready:
    mov $0x1f7, %dx
1:  in %dx, %al
    test $0x80, %al
    jnz 1b
    test $1, %al            # zero: no error
    ret
put:                        # sector CX; zero: no error
    mov $0x30, %ah
    call command
    jnz 1f
    push %cx
    mov %cx, %ax
    mov $0x600, %di
    mov $256, %cx
    rep stosw
    mov $0x600, %si
    mov $0x1f0, %dx
    mov $256, %cx
    rep outsw
    pop %cx
    call ready
1:  ret
read:
    mov $0x20, %ah
    call command
    jnz error
    mov $0x1f0, %dx
    mov $256, %cx
got:
    mov $0x600, %di
    rep insw
    mov $'D', %al
    call putc
    mov 0x600, %al
    call putc
    jmp next
write:
    call put
    jnz error
    jmp wrote
fill:
    mov %cx, 0x500
    xor %cx, %cx
1:  call put
    jnz error
    inc %cx
    cmp 0x500, %cx
    jne 1b
    mov $0xe7, %ah
    call command
    jnz error
wrote:
    mov $'W', %al
    call putc
    jmp next
error:
    mov $0x1f1, %dx
fault:
    mov $'E', %al
    push %dx
    call putc
    pop %dx
    in %dx, %al
    call putc
    jmp next
cdrom:
    movw $0x0028, 0x700     # READ(10) of one block
    movw $0, 0x702
    mov %ch, 0x704
    mov %cl, 0x705
    movw $0, 0x706
    movw $1, 0x708
    movw $0, 0x70a
    mov $0x176, %dx
    mov $0xa0, %al
    out %al, %dx
    mov $0x171, %dx
    xor %al, %al
    out %al, %dx
    mov $0x174, %dx
    out %al, %dx
    inc %dx
    mov $8, %al
    out %al, %dx
    mov $0x177, %dx
    mov $0xa0, %al
    out %al, %dx
    call cdready
    mov $0x700, %si
    mov $0x170, %dx
    mov $6, %cx
    rep outsw
    call cdready
    mov $0x171, %dx
    jnz fault
    mov $0x170, %dx
    mov $1024, %cx
    jmp got
cdready:
    mov $0x177, %dx
1:  in %dx, %al
    test $0x80, %al
    jnz 1b
    test $1, %al
    ret
"""


class Guest:
    def __init__(self, *words, name="vm"):
        place = FOLDER / f"{name}.serial"
        place.unlink(missing_ok=True)
        self.vm = talk.Machine(PROGRAM, FOLDER, "-nic", "none", "-vga", "none", "-bios",
                               firmware.build(FOLDER, "faults", GUEST), "-serial", f"unix:{place},server=on,wait=off",
                               *words, name=name, serial=False)
        self.hmp, self.qmp = talk.Hmp(self.vm.connect("hmp")), talk.Qmp(self.vm.connect("qmp"))
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(place))
        self.line.settimeout(60)

    def say(self, letter, sector):
        self.line.sendall(letter.encode() + struct.pack("<H", sector))

    def answer(self):
        first = self.line.recv(1)
        return first.decode() + (f"{self.line.recv(1)[0]:02x}" if first in (b"D", b"E") else "")

    def ask(self, letter, sector):
        self.say(letter, sector)
        return self.answer()

    def status(self):
        return self.hmp.ask("info status").strip()

    def wait_paused(self):
        wait_for(lambda: self.status() == "VM status: paused (io-error)", "the pause", 60)

    def events(self, *names):
        """Waits for these and forgets all."""
        def seen():
            self.qmp.ask("query-status")
            return {event["event"] for event in self.qmp.events} >= set(names)
        wait_for(seen, f"{names}")
        events = list(self.qmp.events)
        self.qmp.events.clear()
        return {event["event"]: event.get("data") for event in events}


def refused(*words, part, status=1, most=1):
    """The program says `part` in `most` lines and ends with `status`."""
    done = subprocess.run([PROGRAM, "-display", "none", "-m", "16", "-serial", "null", *words], capture_output=True, text=True,
                          timeout=10, stdin=subprocess.DEVNULL)
    lines = done.stderr.strip().splitlines()
    expect(done.returncode == status and 1 <= len(lines) <= most and part in done.stderr, f"{words}: {done}")


@test
def a_medium_that_is_taken_out_is_missed_by_the_guest_only():
    iso = FOLDER / "medium.iso"
    iso.write_bytes(b"\x5a" * (64 << 10))
    guest = Guest("-cdrom", str(iso))
    expect(guest.ask("c", 0) in ("D5a", "E64"), "the medium is there, or is new")
    expect(guest.ask("c", 1) == "D5a", "it is read")
    expect(guest.hmp.ask("eject ide1-cd0") == "", "eject")
    answers = [guest.ask("c", 1) for _ in range(3)]
    expect(answers[-1] == "E24", f"not ready, aborted: {answers}")
    expect("ide1-cd0: [not inserted]" in guest.hmp.ask("info block"), "info block")
    expect(guest.hmp.ask(f"change ide1-cd0 {iso} raw") == "", "change")
    answers = [guest.ask("c", 1) for _ in range(4)]
    expect(answers[-1] == "D5a", f"another medium: {answers}")
    expect(guest.status() == "VM status: running", guest.status())


@test
def a_cut_off_iso_is_an_error_where_it_ends():
    iso = FOLDER / "cut.iso"
    iso.write_bytes(b"\x41" * (40 << 10) + b"x" * 700)
    guest = Guest("-cdrom", str(iso))
    guest.ask("c", 0)
    expect(guest.ask("c", 19) == "D41", "what is there is read")
    for block in (21, 500):
        expect(guest.ask("c", block) == "E54", f"block {block} is beyond the end: illegal request")
    expect(guest.status() == "VM status: running", guest.status())


def compressed_with_a_fault():
    """A qcow2 image whose first cluster cannot be unpacked, and how to repair it."""
    raw, image = FOLDER / "plain.raw", FOLDER / "faulty.qcow2"
    raw.write_bytes(b"\x33" * (1 << 20))
    subprocess.run([BUILD / "src/tools/img/rhea-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, image], check=True,
                   capture_output=True)
    data = bytearray(image.read_bytes())
    l1, = struct.unpack_from(">Q", data, 40)
    l2 = struct.unpack_from(">Q", data, l1)[0] & 0x00fffffffffffe00
    entry, = struct.unpack_from(">Q", data, l2)
    expect(entry >> 62 == 1, "the cluster is compressed")
    at = entry & ((1 << 54) - 1)
    good = bytes(data[at:at + 32])

    def put(content):
        with open(image, "r+b") as file:
            file.seek(at)
            file.write(content)
    put(b"\xff" * 32)
    return image, lambda: put(good)


def read_faults(policy):
    image, repair = compressed_with_a_fault()
    return Guest("-drive", f"file={image},format=qcow2,if=ide,index=0,id=d,rerror={policy}"), repair


@test
def a_read_error_is_reported_to_the_guest():
    guest, _ = read_faults("report")
    expect(guest.ask("r", 0) == "E40", "uncorrectable data")
    data = guest.events("BLOCK_IO_ERROR")["BLOCK_IO_ERROR"]
    expect((data["device"], data["operation"], data["action"]) == ("d", "read", "report"), f"{data}")
    expect(guest.ask("r", 128) == "D33", "the next cluster")
    expect(guest.status() == "VM status: running", guest.status())


@test
def a_read_error_is_ignored_if_told_so():
    guest, _ = read_faults("ignore")
    expect(guest.ask("r", 0).startswith("D"), "the guest hears of nothing")
    expect(guest.events("BLOCK_IO_ERROR")["BLOCK_IO_ERROR"]["action"] == "ignore", "programs do")


@test
def a_read_error_stops_the_machine_until_it_is_repaired():
    guest, repair = read_faults("stop")
    guest.say("r", 0)
    guest.wait_paused()
    events = guest.events("BLOCK_IO_ERROR", "STOP")
    expect(events["BLOCK_IO_ERROR"]["action"] == "stop", f"{events}")
    expect("I/O status:       failed" in guest.hmp.ask("info block"), guest.hmp.ask("info block"))
    guest.hmp.ask("cont")
    guest.wait_paused()
    repair()
    guest.hmp.ask("cont")
    expect(guest.answer() == "D33", "read in the end")
    expect(guest.status() == "VM status: running", guest.status())


@contextlib.contextmanager
def small_disk(size):
    place = FOLDER / "small"
    place.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True).returncode != 0:
        raise Skip("no right to mount a tmpfs")
    try:
        yield place
    finally:
        talk.Machine.end_all()
        subprocess.run(["umount", "-l", place], check=False)


def grow(place, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


SECTORS = 1024
EVERYTHING = b"".join(struct.pack("<H", sector) * 256 for sector in range(SECTORS))


def full_disk(place, form, policy):
    image = place / f"disk.{form}"
    subprocess.run([BUILD / "src/tools/img/rhea-img", "create", "-f", form, image, str(len(EVERYTHING))], check=True,
                   capture_output=True)
    return image, Guest("-drive", f"file={image},format={form},if=ide,index=0,id=d{policy}")


def written_in_the_end(form, policy, room):
    with small_disk(room) as place:
        image, guest = full_disk(place, form, policy)
        guest.say("f", SECTORS)
        guest.wait_paused()
        data = guest.events("BLOCK_IO_ERROR", "STOP")["BLOCK_IO_ERROR"]
        expect((data["operation"], data["action"], data["nospace"]) == ("write", "stop", True), f"{data}")
        expect("I/O status:       nospace" in guest.hmp.ask("info block"), guest.hmp.ask("info block"))
        guest.hmp.ask("cont")  # there is no room yet
        guest.wait_paused()
        grow(place, "16m")
        guest.hmp.ask("cont")
        expect(guest.answer() == "W", "all is written")
        expect(guest.status() == "VM status: running", guest.status())
        guest.vm.end()
        plain = place / "plain"
        subprocess.run([BUILD / "src/tools/img/rhea-img", "convert", "-f", form, "-O", "raw", image, plain], check=True,
                       capture_output=True)
        expect(plain.read_bytes() == EVERYTHING, "something was lost")


@test
def a_full_host_disk_pauses_the_machine_and_nothing_is_lost():
    written_in_the_end("raw", "", "256k")


@test
def a_full_host_disk_under_qcow2_loses_nothing_either():
    written_in_the_end("qcow2", ",werror=stop", "448k")


@test
def a_full_host_disk_is_reported_to_the_guest_if_told_so():
    with small_disk("256k") as place:
        _, guest = full_disk(place, "raw", ",werror=report")
        expect(guest.ask("f", SECTORS).startswith("E"), "the guest's write fails")
        expect(guest.events("BLOCK_IO_ERROR")["BLOCK_IO_ERROR"]["action"] == "report", "programs hear")
        expect(guest.status() == "VM status: running", guest.status())


def scratch():
    path = FOLDER / "scratch.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


@test
def an_image_in_use_is_refused():
    image = FOLDER / "locked.img"
    image.write_bytes(bytes(1 << 20))
    guest = Guest("-drive", f"file={image},format=raw,if=ide,index=0")
    refused("-drive", f"file={image},format=raw", part='Failed to get "write" lock', most=2)
    expect(guest.ask("r", 0) == "D00", "the first goes on")


@test
def a_card_without_a_cable_is_a_warning():
    vm = talk.Machine(PROGRAM, FOLDER, "-S", "-device", "e1000,id=card")
    talk.Hmp(vm.connect("hmp"))
    _, _, err = vm.end()
    warnings = [line for line in err.splitlines() if "terminating" not in line]
    expect(len(warnings) == 1 and warnings[0].endswith("warning: nic card has no peer"), err)


@test
def noise_from_a_viewer_harms_nobody():
    place = FOLDER / "noise.vnc"
    guest = Guest("-vga", "std", "-vnc", f"unix:{place}", "-hda", scratch())
    noise = random.Random(5)

    def viewer(*parts):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place))
            client.settimeout(0.2)
            with contextlib.suppress(OSError):
                for part in parts:
                    client.sendall(part)
                    with contextlib.suppress(TimeoutError):
                        client.recv(4096)
    hello = (b"RFB 003.008\n", b"\x01", b"\x01")
    for size in (1, 11, 12, 13, 5000):
        viewer(noise.randbytes(size))
    viewer(b"RFB 003.008\n", noise.randbytes(100))
    for first in range(256):
        viewer(*hello[:2], hello[2] + bytes([first]) + noise.randbytes(300)) if first % 16 < 8 else None
    # A million encodings, a cut text of 4 GiB, a picture of no size.
    viewer(*hello, b"\x02\0\xff\xff" + bytes(1000))
    viewer(*hello, b"\x06\0\0\0\xff\xff\xff\xff" + bytes(1000))
    viewer(*hello, struct.pack(">BBHHHH", 3, 0, 65535, 65535, 65535, 65535))
    expect(guest.status() == "VM status: running" and guest.ask("r", 1) == "D00", "the machine goes on")
    wait_for(lambda: "Client:" not in guest.hmp.ask("info vnc"), "all of them are gone")


@test
def a_flood_holds_up_nobody_else():
    guest = Guest("-hda", scratch())
    flood = guest.vm.connect("qmp")
    flood.setblocking(False)
    sent = 0
    for _ in range(3000):
        try:
            sent += flood.send(b'{"execute":"qmp_capabilities"}{"execute":"query-commands"}' * 50)
        except BlockingIOError:
            break
    begin = time.monotonic()
    expect(guest.status() == "VM status: running", guest.status())
    expect(guest.ask("r", 1) == "D00", "the guest runs")
    expect(time.monotonic() - begin < 10, "slow")
    flood.close()


@test
def options_that_contradict_each_other_are_one_line():
    disk = FOLDER / "contradict.img"
    disk.write_bytes(bytes(1 << 20))
    drive, wrong = ["-drive", f"file={disk},format=raw,if=none,id=d"], []
    for words, part in [
        ([*drive, "-drive", "if=none,id=d"], "d"),
        (["-drive", f"file={disk},format=raw,index=0", "-drive", f"file={disk},format=raw,index=0"], "exists"),
        ([*drive, "-device", "virtio-blk-pci,drive=d", "-device", "virtio-blk-pci,drive=d"], "in use"),
        (["-device", "virtio-blk-pci,drive=nonesuch"], "nonesuch"),
        (["-device", "e1000,addr=5", "-device", "e1000,addr=5"], "5"),
        (["-device", "e1000,netdev=n"], "n"),
        (["-netdev", "user,id=n", "-netdev", "user,id=n"], "n"),
        (["-netdev", "user,id=n", "-device", "e1000,netdev=n", "-device", "e1000,netdev=n"], "n"),
        (["-device", "e1000,id=x", "-device", "e1000,id=x"], "x"),
        (["-smp", "cpus=4,sockets=1,cores=2,threads=1"], "cpus"),
        (["-m", "0"], "m"),
        (["-machine", "accel=tcg", "-accel", "tcg"], "incompatible"),
        (["-machine", "nonesuch"], "nonesuch"),
        (["-cpu", "nonesuch"], "nonesuch"),
        (["-append", "x"], "-append only allowed with -kernel option"),
        (["-initrd", str(disk)], "-initrd only allowed with -kernel option"),
        (["-kernel", "/nonexistent"], "/nonexistent"),
        (["-bios", "/nonexistent"], "/nonexistent"),
        (["-cdrom", "/nonexistent.iso"], "/nonexistent.iso"),
        (["-drive", f"file={disk},format=qcow2"], "qcow2"),
        (["-drive", f"file={disk},format=raw,readonly=on,if=ide"], "read-only"),
        (["-drive", f"file={disk},format=raw,werror=nonesuch"], "nonesuch"),
        (["-boot", "order=z"], "z"),
        (["-rtc", "base=nonesuch"], "nonesuch"),
        (["-vnc", ":1,to=x"], "to"),
        (["-display", "nonesuch"], "nonesuch"),
        (["-vga", "nonesuch"], "nonesuch"),
        (["-vga", "qxl"], "qxl"),
        (["-uuid", "nonesuch"], "nonesuch"),
        (["-set", "drive.d.cache=none"], "drive"),
        (["-readconfig", "/nonexistent"], "/nonexistent"),
        (["-global", "nonesuch"], "nonesuch"),
        (["-nonesuch"], "nonesuch"),
    ]:
        try:
            refused(*words, part=part)
        except (AssertionError, subprocess.SubprocessError) as why:
            wrong.append(str(why))
    expect(not wrong, "\n".join(wrong))


if __name__ == "__main__":
    sys.exit(suite.main())
