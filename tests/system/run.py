#!/usr/bin/env python3
"""Runs rhea-system-x86_64 as a user does; prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`."""
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import firmware

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import PROGRAM, Skip, Suite, expect, wait_for  # noqa: E402

suite = Suite("system")
test, FOLDER = suite.test, suite.folder
BASE = ["-display", "none", "-m", "16"]


def start(*words, **more):
    return subprocess.Popen([PROGRAM, *BASE, *words], stdin=more.pop("stdin", subprocess.DEVNULL),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def run(*words, seconds=20, **more):
    process = start(*words, **more)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{' '.join(words)}: no end after {seconds} s") from None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def image(name, body):
    return firmware.build(FOLDER, name, body)


def exit_image(value):
    return image(f"exit{value}", f"mov ${value}, %al\nout %al, $0xf4\n")


HELLO = "mov $'H', %al\ncall putc\nmov $'i', %al\ncall putc\n"
EXIT = "mov $0x10, %al\nout %al, $0xf4\n"
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]


@test
def refusals_are_one_line_each():
    for words, part in [
        (["-smp", "cpus=0"], "greater than zero"),
        (["-smp", "4,sockets=3"], "product of the hierarchy"),
        (["-cpu", "nonesuch"], "nonesuch"),
        (["-cpu", "qemu64,+nofeat"], "nofeat"),
        (["-kernel", "/nonexistent"], "/nonexistent"),
        (["-m", "900G"], "Cannot allocate memory"),
        (["-m", "x"], "-m x"),
        (["-machine", "xenfv"], "xenfv"),
        (["-frobnicate"], "-frobnicate"),
        (["-bios", "/nonexistent"], "/nonexistent"),
        (["-device", "nonesuch"], "nonesuch"),
        (["-serial", "foo"], "foo"),
        (["-accel", "xen"], "xen"),
        (["-accel", "tcg,state-log=/tmp/x"], "deterministic=on"),
        (["-accel", "tcg,deterministic=on,state-log-every=5"], "state-log=FILE"),
        (["-accel", "tcg,deterministic=on,state-log=/nonexistent/x"], "/nonexistent/x"),
        (["-accel", "tcg,deterministic=on,thread=multi"], "thread=multi"),
        (["-vga", "qxl"], "qxl"),
        (["-net", "bridge"], "bridge"),
        (["-display", "gtk,gl=on"], "gl=on"),
        (["-append", "x"], "-kernel"),
        (["-gdb", "tcp::99999"], "99999"),
        (["-rtc", "base=yesterday"], "yesterday"),
        (["-boot", "z"], "boot device 'z'"),
        (["-boot", "order=cc"], "given twice"),
        (["-name", "a,b=c"], "'b'"),
        (["-serial"], "requires an argument"),
    ]:
        status, out, err = run(*words)
        lines = err.splitlines()
        expect(status == 1 and len(lines) == 1, f"{words}: status {status}, said {err!r}")
        expect(lines[0].startswith("rhea-system-x86_64: ") and part in lines[0], f"{words}: {lines[0]}")


@test
def help_is_on_standard_output():
    for words in (["-help"], ["-cpu", "help"], ["-machine", "help"], ["-device", "help"], ["-accel", "help"],
                  ["-smp", "help"], ["-d", "help"], ["-version"]):
        status, out, err = run(*words)
        expect(status == 0 and out and not err, f"{words}: {status} {err}")


@test
def guests_exit_status_is_ours():
    for value in (0x10, 0x31):
        status, _, err = run("-bios", exit_image(value), *DEBUG_EXIT)
        expect(status == value * 2 + 1, f"{value}: {status} {err}")


@test
def exit_status_is_the_same_under_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("no /dev/kvm")
    status, _, err = run("-accel", "kvm", "-bios", exit_image(0x10), *DEBUG_EXIT)
    expect(status == 33, f"{status} {err}")


@test
def serial_output_reaches_file_and_stdio():
    bios = image("hello", HELLO + EXIT)
    path = FOLDER / "serial.txt"
    run("-bios", bios, "-serial", f"file:{path}", *DEBUG_EXIT)
    expect(path.read_text() == "Hi", f"file has {path.read_text()!r}")
    _, out, _ = run("-bios", bios, "-serial", "stdio", *DEBUG_EXIT)
    expect(out == "Hi", f"stdio has {out!r}")


X87_ERROR = """
    mov $0x11, %al          # both 8259s: vectors 8 and 0x70 on, all masked but the cascade and IRQ 13
    out %al, $0x20
    out %al, $0xa0
    mov $8, %al
    out %al, $0x21
    mov $0x70, %al
    out %al, $0xa1
    mov $4, %al
    out %al, $0x21
    mov $2, %al
    out %al, $0xa1
    mov $1, %al
    out %al, $0x21
    out %al, $0xa1
    mov $0xfb, %al
    out %al, $0x21
    mov $0xdf, %al
    out %al, $0xa1
    movw $handler, 0x75 * 4
    movw $0xf000, 0x75 * 4 + 2
    xor %bx, %bx
    fninit
    movw $0x37b, 0x600      # division by zero is not masked
    fldcw 0x600
    fld1
    fldz
    sti
    fdivr %st(1), %st
faulting:
    fwait
    mov %bl, %al            # interrupts: one
    add $0x20, %al
    out %al, $0xf4
handler:
    inc %bx
    pop %ax
    push %ax
    cmp $faulting, %ax      # what waits has not run yet
    je 1f
    add $8, %bx
1:  out %al, $0xf0
    fnclex
    mov $0x20, %al
    out %al, $0xa0
    out %al, $0x20
    iret
"""


@test
def x87_error_without_ne_is_irq_13():
    status, _, err = run("-bios", image("x87", X87_ERROR), *DEBUG_EXIT)
    expect(status == 0x21 * 2 + 1, f"{status} {err}")


ECHO = """
next:
    mov $0x3fd, %dx
    in %dx, %al
    test $1, %al
    jz next
    mov $0x3f8, %dx
    in %dx, %al
    cmp $'q', %al
    je leave
    inc %al
    call putc
    jmp next
leave:
""" + EXIT


@test
def serial_input_comes_from_stdin():
    read, write = os.pipe()
    os.write(write, b"ab" * 50 + b"q")
    _, out, _ = run("-bios", image("echo", ECHO), "-serial", "stdio", *DEBUG_EXIT, stdin=read)
    expect(out == "bc" * 50, f"{out!r}")


@test
def serial_line_over_sockets():
    for kind in ("unix", "tcp"):
        path = FOLDER / "line"
        if kind == "unix":
            words, family, address = f"unix:{path}", socket.AF_UNIX, str(path)
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            words, family, address = f"tcp:127.0.0.1:{port}", socket.AF_INET, ("127.0.0.1", port)
        process = start("-bios", image("echo", ECHO), "-serial", words + ",server=on,wait=on", *DEBUG_EXIT)
        client = socket.socket(family)
        wait_for(lambda: client.connect_ex(address) == 0, "connecting")
        client.sendall(b"abc")
        got = b""
        while len(got) < 3:
            got += client.recv(10)
        client.sendall(b"q")
        expect(process.wait(10) == 33 and got == b"bcd", f"{kind}: {got}")
        process.communicate()


@test
def serial_line_on_a_pty():
    process = start("-bios", image("echo", ECHO), "-serial", "pty", *DEBUG_EXIT)
    words = process.stdout.readline().decode()
    name = re.search(r"redirected to (/dev/pts/\d+) \(label serial0\)", words)
    expect(name, words)
    fd = os.open(name[1], os.O_RDWR | os.O_NOCTTY)
    time.sleep(1.2)  # the other side looks once a second
    os.write(fd, b"x")
    expect(os.read(fd, 1) == b"y", "echo on the pty")
    os.write(fd, b"q")
    expect(process.wait(10) == 33, "status")
    os.close(fd)
    process.communicate()


@test
def nographic_escape_ends_the_machine_and_restores_the_terminal():
    import termios
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen([PROGRAM, "-nographic", "-m", "16", "-bios", image("quiet", "")], stdin=slave,
                               stdout=slave, stderr=subprocess.PIPE)
    wait_for(lambda: termios.tcgetattr(slave) != before, "raw mode")
    os.write(master, b"\x01h\x01x")
    expect(process.wait(10) == 0, "exit status")
    expect(termios.tcgetattr(slave) == before, "terminal restored")
    expect(b"exit emulator" in os.read(master, 1000), "help text")
    process.communicate()


PROTECTED_TRIPLE = """
    mov $'A', %al
    call putc
    lidtl %cs:empty
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    int3
empty: .word 0
    .long 0
"""


@test
def triple_fault_resets_or_ends():
    bios = image("triple", PROTECTED_TRIPLE)
    status, out, _ = run("-bios", bios, "-serial", "stdio", "-no-reboot")
    expect(status == 0 and out == "A", f"{status} {out!r}")
    process = start("-bios", bios, "-serial", "stdio")
    expect(process.stdout.read(5) == b"AAAAA", "resets")
    process.terminate()
    expect(process.wait(10) == 0, "ends on a signal")
    process.communicate()


@test
def triple_fault_is_logged():
    status, _, err = run("-bios", image("triple", PROTECTED_TRIPLE), "-no-reboot", "-d", "cpu_reset")
    expect(status == 0 and "Triple fault: CPU 0\nEAX=" in err and "CR0=60000011" in err, err)


TSC_AGAINST_PIT = """
    mov $1, %al             # the gate of channel 2
    out %al, $0x61
    mov $0xb0, %al          # channel 2, mode 0: its output rises after 65535 / 1193182 s
    out %al, $0x43
    mov $0xff, %al
    out %al, $0x42
    out %al, $0x42
    rdtsc
    mov %eax, %ebx
    mov %edx, %ecx
1:  in $0x61, %al
    test $0x20, %al
    jz 1b
    rdtsc
    sub %ebx, %eax
    sbb %ecx, %edx
    shrd $20, %edx, %eax    # 55 ms in units of 2^20 ticks
    out %al, $0xf4
"""


@test
def tsc_runs_at_the_given_rate():
    bios = image("tsc", TSC_AGAINST_PIT)
    status, _, err = run("-bios", bios, "-cpu", "max,tsc-frequency=100M", *DEBUG_EXIT)
    expect(5 <= status // 2 <= 60, f"{status // 2} * 2^20 ticks {err}")
    for words in (["-cpu", "max,tsc-frequency=5"], ["-accel", "tcg,deterministic=on", "-cpu", "max,tsc-frequency=1G"]):
        status, _, err = run(*words)
        expect(status == 1 and "tsc-frequency" in err, f"{words}: {status} {err}")


NOWHERE = """
    mov $0xf000, %ax
    mov %ax, %ds
    movw $1, 0x1234         # ROM
    mov $0xa000, %ax
    mov %ax, %ds
    movw $1, 0x10           # no graphics card
    mov 0x12, %al
    mov $0x999, %dx
    in %dx, %al
    xor %ax, %ax
    mov %ax, %ds
    movw $back, 6 * 4
    movw $0xf000, 6 * 4 + 2
    ljmp $0xa000, $0x20
back:
    mov $0x10, %al
    out %al, $0xf4
"""


@test
def name_is_that_of_the_process():
    process = start("-S", "-name", "guest=a,process=second,debug-threads=on", "-smp", "2")
    threads = pathlib.Path(f"/proc/{process.pid}/task")

    def names():
        return sorted(path.read_text().strip() for path in threads.glob("*/comm"))
    wait_for(lambda: {"second", "CPU 0/TCG", "CPU 1/TCG"} <= set(names()), "names of threads")
    process.terminate()
    process.communicate()


@test
def what_meets_nothing_is_logged():
    status, _, err = run("-bios", image("nowhere", NOWHERE), "-vga", "none", "-d", "guest_errors,unimp", *DEBUG_EXIT)
    expect(status == 33, f"{status} {err}")
    for part in ("memory: 2-byte write to read-only memory at 0xf1234", "memory: 2-byte write at 0xa0010, where nothing is",
                 "memory: 1-byte read at 0xa0012, where nothing is", "ports: 1-byte read at 0x999, where nothing is",
                 "CPU 0: executes at 0xa0020, where nothing is"):
        expect(part in err, f"{part!r} is missing in:\n{err}")


@test
def unknown_msrs_are_logged():
    body = ("movw $1f, 13 * 4\nmovw $0xf000, 13 * 4 + 2\nmov $0x12345, %ecx\nmov $5, %eax\nxor %edx, %edx\n"
            "wrmsr\n1:" + EXIT)
    status, _, err = run("-bios", image("msr", body), "-d", "unimp", *DEBUG_EXIT)
    expect(status == 33 and "write of 0x5 to unknown MSR 0x12345" in err, f"{status} {err}")


@test
def guest_code_is_logged_with_its_targets():
    _, _, err = run("-bios", image("jump", "jmp 1f\n.org 0x2345\n1: jmp 2f\nnop\n2:" + EXIT), "-d", "in_asm", *DEBUG_EXIT)
    expect(re.search(r"^0x00002345: eb01 +jmp 0x0*2348$", err, re.M | re.I), err[:2000])


@test
def no_shutdown_keeps_the_process():
    process = start("-bios", image("triple", PROTECTED_TRIPLE), "-serial", "stdio", "-no-reboot", "-no-shutdown")
    expect(process.stdout.read(1) == b"A", "ran")
    time.sleep(0.5)
    expect(process.poll() is None, "still there")
    process.terminate()
    expect(process.wait(10) == 0, "ends on a signal")
    process.communicate()


@test
def keyboard_controller_and_ports_reset():
    for name, body in (("kbd", "mov $0xfe, %al\nout %al, $0x64\n"), ("port92", "mov $1, %al\nout %al, $0x92\n"),
                       ("cf9", "mov $0xcf9, %dx\nmov $6, %al\nout %al, %dx\n")):
        status, out, err = run("-bios", image(name, HELLO + body), "-serial", "stdio", "-no-reboot")
        expect(status == 0 and out == "Hi", f"{name}: {status} {out!r} {err}")


@test
def stopped_machine_runs_nothing():
    process = start("-bios", image("hello", HELLO + EXIT), "-serial", "stdio", "-S", *DEBUG_EXIT)
    time.sleep(0.5)
    expect(process.poll() is None, "it waits")
    process.send_signal(signal.SIGINT)
    expect(process.wait(10) == 0 and process.stdout.read() == b"", "silent")
    process.communicate()


COUNT = """
again:
    incw 0x500
    mov 0x500, %bx
    mov %bx, 0x504
    jmp again
"""
# In gdb, linear addresses: the image is at 0xf0000 and its first instruction after the head at 0xf000a.
SCRIPT = """
set confirm off
set pagination off
set architecture i386:x86-64
target remote {place}
printf "start %lx %lx\\n", (long)$rip, (long)$cs
hbreak *0xf000a
continue
printf "break %lx\\n", (long)$rip
stepi
printf "step %lx word %d\\n", (long)$rip, *(short*)0x500
delete
{watch}set *(short*)0x500 = 1000
set $rcx = 0x1234
stepi
printf "rcx %lx\\n", (long)$rcx
info threads
monitor info jit
detach
"""


WATCH = """
watch *(short*)0x504
continue
printf "watch %d %d\\n", *(short*)0x500, *(short*)0x504
delete
"""


def gdb(script, seconds=30):
    if shutil.which("gdb") is None:
        raise Skip("no gdb")
    path = FOLDER / "script.gdb"
    path.write_text(script)
    done = subprocess.run(["gdb", "-nx", "-batch", "-x", path], capture_output=True, timeout=seconds, text=True)
    return done.stdout + done.stderr


def debug_session(accel, watch):
    place = FOLDER / f"gdb-{accel}"
    process = start("-accel", accel, "-smp", "2", "-bios", image("count", COUNT), "-S", "-gdb", f"unix:{place}")
    wait_for(place.exists, "the socket")
    said = gdb(SCRIPT.format(place=place, watch=WATCH if watch else ""))
    for part in ("start fff0 f000", "break a", "step e word 1", "watch 1 1" if watch else "", "rcx 1234", "CPU#0", "CPU#1 [halted]"):
        expect(part in said, f"{part!r} is missing in:\n{said}")
    time.sleep(0.2)
    expect(process.poll() is None, "goes on after detach")
    process.terminate()
    process.communicate()


@test
def debugger_on_the_translator():
    debug_session("tcg", True)


@test
def debugger_on_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("no /dev/kvm")
    debug_session("kvm", False)  # a KVM that emulates real mode sees no data breakpoints


@test
def perfmap_names_translated_code():
    process = start("-bios", exit_image(0x10), *DEBUG_EXIT, "-perfmap")
    process.communicate(timeout=20)
    path = pathlib.Path(f"/tmp/perf-{process.pid}.map")
    text = path.read_text()
    path.unlink()
    expect(re.search(r"^[0-9a-f]+ [0-9a-f]+ guest:[0-9a-f]+ cpl0$", text, re.M), text)


@test
def debugger_interrupts_a_running_machine():
    place = FOLDER / "gdb-int"
    process = start("-bios", image("count", COUNT), "-gdb", f"unix:{place}")
    wait_for(place.exists, "the socket")
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(place))
    client.settimeout(10)

    def ask(text):
        client.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode())

    def answer():
        got = b""
        while not re.search(rb"\$[^#]*#..", got):
            got += client.recv(4096)
        return re.search(rb"\$([^#]*)#..", got)[1].decode()

    ask("?")
    expect(answer().startswith("T05"), "stopped on attach")
    for _ in range(20):
        ask("c")
        time.sleep(0.01)
        client.sendall(b"\x03")
        expect(answer().startswith("T02"), "interrupt")
    ask("m500,2")
    expect(answer() != "0000", "it ran")
    ask("k")
    expect(process.wait(10) == 0, "killed")
    process.communicate()


@test
def garbage_from_a_debugger_is_survived():
    place = FOLDER / "gdb-noise"
    process = start("-bios", image("count", COUNT), "-gdb", f"unix:{place}")
    wait_for(place.exists, "the socket")
    for seed in range(20):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(place))
        noise = os.urandom(2000)
        client.sendall(noise + b"$m" + noise.hex().encode() + b"#00$g#67$vCont;s:99#aa" + bytes([3]))
        client.close()
        expect(process.poll() is None, f"died, noise {seed}")
        time.sleep(0.01)
    process.terminate()
    expect(process.wait(10) == 0, "ends")
    process.communicate()


if __name__ == "__main__":
    sys.exit(suite.main())
