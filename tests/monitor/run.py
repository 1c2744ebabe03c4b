#!/usr/bin/env python3
"""Dialogues with the monitors; prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import talk

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import PROGRAM, QEMU, Suite, expect, need_qemu, wait_for  # noqa: E402

suite = Suite("monitor", talk.Machine.end_all)
test, FOLDER = suite.test, suite.folder

# Lines that both answer with the same words.
SAME_LINES = """foo
stop foo
stop
info status
info foo
help stop
help foo
help info status
info status x
x
x/
xp/8xw 0
xp/2gd 0
xp/3c 0
xp/2uh 0
xp/2o 0
xp/3xb 1+2*3
xp/q 0
xp 0xffffffffff00
p 1+2*3
p/x 255
p/c 65
p/o 8
p/x 0
p/c 10
p/u -1
p/d -1
p/d 7&3|8
p $foo
p (1+
p/d 0x10
p 1/0
i/b 0x92
o/b 0x80 0x12
o/b 0x80
info name
info uuid
info kvm
info mem
info tlb
sendkey
sendkey foo
mouse_move 1
screendump
eject
eject foo
eject -f foo
change foo bar
commit foo
memsave 0 10 /tmp/x
device_add
device_add nonesuch
device_del foo
set_link foo bar
cpu 0
cpu 5
boot_set
boot_set z
boot_set cc
boot_set c
device_add VGA
device_add isa-serial
device_add virtio-rng-pci,id=hot
device_add virtio-rng-pci,id=hot
system_wakeup
ringbuf_read foo 10
chardev-remove foo
chardev-add ringbuf,id=r,size=3
chardev-add ringbuf,id=r,size=16
ringbuf_write r "hello world, hello"
ringbuf_read r 5
ringbuf_read r 50
chardev-remove r
gva2gpa 0x1234
logfile
log
gdbserver none
nmi x
cont
info status
info registers -z
cpu x
x/2x $nothing
info version x
?  stop
info cpus x
# a remark
""".splitlines()

# Messages that both answer alike: the same class and text, or things of the same shape.
SAME_MESSAGES = r"""
{"execute":"query-status"}
{'execute':'query-status', 'id': {'a':[1,2]}}
{"execute":"foo"}
{"execute":"query-status","arguments":{"x":1}}
{"execute":"query-status","arguments":[]}
{"execute":"query-status","bar":1}
{"execute":1}
{"arguments":{}}
[]
"abc"
12
{"execute":\n}
{"execute":"query-status"\n]
foo
{"a":tru}
{"execute":"query-version"}
{"execute":"query-cpus-fast"}
{"execute":"query-kvm"}
{"execute":"query-name"}
{"execute":"query-uuid"}
{"execute":"query-target"}
{"execute":"query-chardev"}
{"execute":"query-memory-size-summary"}
{"execute":"query-commands"}
{"execute":"stop"}
{"execute":"cont"}
{"execute":"human-monitor-command","arguments":{"command-line":"info status"}}
{"execute":"human-monitor-command","arguments":{"command-line":"foo"}}
{"execute":"human-monitor-command","arguments":{"command-line":1}}
{"execute":"human-monitor-command"}
{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"a"}]}}
{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"zzz"}]}}
{"execute":"send-key","arguments":{"keys":[{"type":"foo","data":"zzz"}]}}
{"execute":"send-key","arguments":{"keys":[]}}
{"execute":"input-send-event","arguments":{"events":[]}}
{"execute":"eject","arguments":{"device":"foo"}}
{"execute":"eject"}
{"execute":"blockdev-change-medium","arguments":{"device":"foo","filename":"x"}}
{"execute":"device_add","arguments":{"driver":"nonesuch"}}
{"execute":"device_add","arguments":{}}
{"execute":"device_del","arguments":{"id":"foo"}}
{"execute":"device_del"}
{"execute":"chardev-add","arguments":{"id":"r","backend":{"type":"ringbuf","data":{"size":64}}}}
{"execute":"ringbuf-write","arguments":{"device":"r","data":"hello"}}
{"execute":"ringbuf-read","arguments":{"device":"r","size":10}}
{"execute":"chardev-remove","arguments":{"id":"r"}}
{"execute":"memsave","arguments":{"val":0,"size":10,"filename":"/nonexistent/x"}}
{"execute":"pmemsave","arguments":{"val":0,"size":"10","filename":"/tmp/x"}}
{"execute":"inject-nmi"}
{"execute":"system_wakeup"}
{"execute":"qmp_capabilities"}
{"execute":"query-status","id":1,"id":2}
{"execute":"query-vnc"}
{"execute":"query-vnc-servers"}
{"execute":"query-mice"}
{"execute":"query-memory-size-summary"}
{"execute":"query-memory-devices"}
{"execute":"query-hotpluggable-cpus"}
{"execute":"qom-get","arguments":{"path":"/machine","property":"type"}}
{"execute":"qom-get","arguments":{"path":"/machine","property":"nonesuch"}}
{"execute":"qom-list","arguments":{"path":"/nonesuch"}}
{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}
{"execute":"set-action","arguments":{"reboot":"shutdown","shutdown":"pause"}}
{"execute":"set-action","arguments":{"reboot":"nonesuch"}}
{"execute":"query-command-line-options","arguments":{"option":"nonesuch"}}
{"execute":"device_del","arguments":{"id":"nonesuch"}}
""".strip().splitlines()


def machine(*words, program=PROGRAM, name="vm"):
    return talk.Machine(program, FOLDER, "-S", *words, name=name)


@test
def people_are_told_what_qemu_tells_them():
    need_qemu()
    ours, theirs = machine(), machine(program=QEMU, name="qemu")
    try:
        pair = [talk.Hmp(one.connect("hmp")) for one in (ours, theirs)]
        differences = []
        for line in SAME_LINES:
            mine, other = (client.ask(line) for client in pair)
            if mine != other:
                differences.append(f"{line}: {mine!r}, not {other!r}")
        expect(not differences, "\n".join(differences))
    finally:
        ours.end(), theirs.end()


@test
def programs_are_told_what_qemu_tells_them():
    need_qemu()
    ours, theirs = machine("-name", "guest=foo"), machine("-name", "guest=foo", program=QEMU, name="qemu")
    try:
        pair = [talk.Qmp(one.connect("qmp")) for one in (ours, theirs)]
        differences = []
        for text in SAME_MESSAGES:
            mine, other = (client.say(text.replace("\\n", "\n") + "\n") for client in pair)
            same = mine == other if "error" in other else talk.shape(mine) == talk.shape(other)
            if not same:
                differences.append(f"{text}: {json.dumps(mine)[:300]}, not {json.dumps(other)[:300]}")
        expect(not differences, "\n".join(differences))
        # The guest's own resets come when its firmware gets there.
        events = [[event["event"] for event in client.events if not event.get("data", {}).get("guest")]
                  for client in pair]
        expect(events[0] == events[1], f"events {events}")
    finally:
        ours.end(), theirs.end()


@test
def registers_look_as_qemus():
    need_qemu()
    ours, theirs = machine("-smp", "2"), machine("-smp", "2", program=QEMU, name="qemu")
    try:
        texts = [talk.Hmp(one.connect("hmp")).ask("info registers -a") for one in (ours, theirs)]
        mine, other = ([line.split("=")[0] for line in text.splitlines()] for text in texts)
        expect(mine == other, f"{texts[0]}\n{texts[1]}")
    finally:
        ours.end(), theirs.end()


@test
def media_change_as_qemus_do():
    need_qemu()
    disk, other = FOLDER / "disk.img", FOLDER / "other.iso"
    disk.write_bytes(bytes(1 << 20))
    other.write_bytes(bytes(2 << 20))
    words = ["-drive", f"file={disk},format=raw,if=ide,id=d0,snapshot=on"]
    ours, theirs = machine(*words), machine(*words, program=QEMU, name="qemu")
    try:
        pair = [talk.Hmp(one.connect("hmp")) for one in (ours, theirs)]
        differences = []
        for line in ["eject d0", "eject ide1-cd0", f"change ide1-cd0 {other} raw", "change ide1-cd0 /nonexistent",
                     f"change ide1-cd0 {other} nonesuch", f"change d0 {other}", "commit nonesuch",
                     "eject ide1-cd0", "eject -f ide1-cd0"]:
            mine, other_one = (client.ask(line) for client in pair)
            if mine != other_one:
                differences.append(f"{line}: {mine!r}, not {other_one!r}")
        pair[0].ask(f"change ide1-cd0 {other} raw")
        expect(f": {other} (raw, read-only)" in pair[0].ask("info block"), pair[0].ask("info block"))
        stats = [client.ask("info blockstats").splitlines() for client in pair]
        expect(stats[0][0].split("=")[0] == stats[1][0].split("=")[0], f"{stats}")
        expect(not differences, "\n".join(differences))
        qmp = [talk.Qmp(one.connect("qmp")) for one in (ours, theirs)]
        shapes = [talk.shape(client.ask("query-block")["return"][0]["inserted"]) for client in qmp]
        missing = set(shapes[1]) - set(shapes[0])
        expect(not missing, f"query-block lacks {missing}")
    finally:
        ours.end(), theirs.end()


@test
def programs_find_out_what_there_is():
    one = machine("-device", "virtio-rng-pci,id=r")
    qmp = talk.Qmp(one.connect("qmp"))
    ask = lambda name, **arguments: qmp.ask(name, **arguments)["return"]
    machines = ask("query-machines")
    expect([m["name"] for m in machines if m.get("is-default")] == ["pc-i440fx-7.2"], "the default machine")
    models = {m["name"]: m for m in ask("query-cpu-definitions")}
    expect({"qemu64", "Haswell", "max"} & set(models) >= {"qemu64", "Haswell"}, f"{list(models)}")
    commands = {c["name"] for c in ask("query-commands")}
    schema = ask("query-qmp-schema")
    named = {entry["name"]: entry for entry in schema}
    expect({e["name"] for e in schema if e["meta-type"] == "command"} == commands, "the schema has all commands")
    for entry in schema:
        for used in [entry.get("arg-type"), entry.get("ret-type"), entry.get("element-type"),
                     *(member["type"] for member in entry.get("members", []))]:
            expect(used is None or used in named, f"{used} of {entry} is there")
    options = {o["option"] for o in ask("query-command-line-options")}
    expect({"drive", "smp", "vnc", "qmp"} <= options, f"{options}")
    expect({"rng", "max-bytes"} <= {p["name"] for p in ask("device-list-properties", typename="virtio-rng-pci")}, "properties")
    expect("virtio-rng-pci" in {t["name"] for t in ask("qom-list-types", implements="device")}, "types")
    expect({"name": "r", "type": "child<virtio-rng-pci>"} in ask("qom-list", path="/machine/peripheral"), "the tree")
    expect(ask("qom-get", path="/machine/peripheral/r", property="type") == "virtio-rng-pci", "a property")
    one.end()


@test
def slow_work_holds_up_only_who_asked_for_it():
    disk, slow = FOLDER / "slow.img", FOLDER / "slow.fifo"
    disk.write_bytes(bytes(1 << 20))
    os.mkfifo(slow)
    one = machine("-drive", f"file={disk},format=raw,if=none,id=d", "-snapshot")
    qmp, hmp = talk.Qmp(one.connect("qmp")), talk.Hmp(one.connect("hmp"))
    # Nobody reads the pipe yet, so that writing the picture waits.
    qmp.client.sendall(json.dumps({"execute": "screendump", "arguments": {"filename": str(slow)}}).encode())
    expect(hmp.ask("info status") == "VM status: paused (prelaunch)\n", "others are served")
    expect(hmp.ask("commit all") == "" and hmp.ask("commit d") == "", "commit")
    with open(slow, "rb") as pipe:
        expect(pipe.read(2) == b"P6", "the picture")
        while pipe.read(65536):
            pass
    expect(qmp.answer() == {"return": {}}, "answered when it is done")
    one.end()


@test
def stop_reset_and_quit_are_announced():
    one = machine()
    qmp = talk.Qmp(one.connect("qmp"))
    for name in ("cont", "stop", "system_reset", "cont", "system_powerdown"):
        answer = qmp.ask(name)
        expect(answer == {"return": {}}, f"{name}: {answer}")
    expect(qmp.ask("query-status")["return"]["status"] == "running", "runs")
    expect(qmp.ask("quit") == {"return": {}}, "quit")
    names = [event["event"] for event in qmp.events]
    expect(names == ["RESUME", "STOP", "RESET", "RESUME", "POWERDOWN", "SHUTDOWN"], f"{names}")
    reset, end = qmp.events[2]["data"], qmp.events[5]["data"]
    expect(reset == {"guest": False, "reason": "host-qmp-system-reset"}, f"{reset}")
    expect(end == {"guest": False, "reason": "host-qmp-quit"}, f"{end}")
    expect(one.process.wait(60) == 0, "status")
    one.end()


@test
def a_signal_is_announced():
    one = machine()
    qmp = talk.Qmp(one.connect("qmp"))
    one.process.send_signal(signal.SIGTERM)
    qmp.answer()
    expect([event["data"]["reason"] for event in qmp.events] == ["host-signal"], f"{qmp.events}")
    one.end()


@test
def clients_come_and_go():
    one = machine()
    for _ in range(30):
        talk.Qmp(one.connect("qmp")).client.close()
        talk.Hmp(one.connect("hmp")).client.close()
    client = one.connect("qmp")  # leaves in the middle of a message
    client.sendall(b'{"execute":"qmp_capa')
    client.close()
    expect(talk.Qmp(one.connect("qmp")).ask("query-status")["return"]["status"] == "prelaunch", "still answers")
    one.end()


@test
def last_words_are_carried_out():
    one = machine()
    one.connect("qmp").close()
    client = one.connect("hmp")
    client.sendall(b"cont\ninfo status\n")
    client.shutdown(socket.SHUT_WR)
    got = b""
    while more := client.recv(1000):
        got += more
    expect(b"VM status: running" in got, f"{got}")
    client = one.connect("hmp")
    client.sendall(b"stop\ncont\nquit\n")
    client.close()
    expect(one.process.wait(60) == 0, "quits")


@test
def many_monitors_at_once():
    places = [FOLDER / f"many{i}" for i in range(8)]
    words = [word for place in places for word in ("-qmp", f"unix:{place},server=on,wait=off")]
    one = machine(*words)
    one.connect("hmp").close()
    clients = []
    for place in places:
        one.places["qmp"] = place
        clients.append(talk.Qmp(one.connect("qmp")))
    clients[0].ask("cont")
    for client in clients[1:]:
        expect(client.ask("query-status")["return"]["running"], "runs")
        expect([event["event"] for event in client.events] == ["RESUME"], f"{client.events}")
    one.end()


@test
def garbage_and_floods_stall_nothing():
    one = machine()
    rng = random.Random(1)
    other = talk.Hmp(one.connect("hmp"))
    other.ask("cont")
    for round_ in range(20):
        client = one.connect("qmp")
        client.settimeout(0.2)
        blocks = [rng.randbytes(5000), b"{" * 100_000, b'"' + b"a" * 3_000_000, b"[[{'a':" * 5000,
                  b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-commands"}' * 5000]
        try:
            client.sendall(blocks[round_ % len(blocks)])  # and reads nothing
        except OSError:
            pass
        begin = time.monotonic()
        expect(other.ask("info status") == "VM status: running\n", "answers")
        expect(time.monotonic() - begin < 20, "is held up")
        client.close()
    expect(one.process.poll() is None, "lives")
    one.end()


@test
def noise_is_no_command():
    one = machine()
    rng = random.Random(2)
    for _ in range(10):
        client = one.connect("hmp")
        client.settimeout(0.1)
        try:
            client.sendall(rng.randbytes(20_000))
            client.recv(100)
        except OSError:
            pass
        client.close()
    expect(talk.Hmp(one.connect("hmp")).ask("info status").startswith("VM status"), "answers")
    one.end()


@test
def telnet_is_spoken():
    port = free_port()
    one = machine("-monitor", f"telnet:127.0.0.1:{port},server=on,wait=off")
    one.connect("qmp").close()
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(10)
    got = b""
    while b"(qemu) " not in got:
        got += client.recv(1000)
    expect(got.startswith(bytes([255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0])), f"{got[:20]}")
    client.sendall(bytes([255, 253, 1, 255, 253, 3]) + b"info status\r\0")
    got = b""
    while not got.endswith(b"(qemu) "):
        got += client.recv(1000)
    expect(b"VM status: paused (prelaunch)\r\n" in got, f"{got}")
    one.end()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@test
def memory_is_saved():
    one = machine()
    hmp = talk.Hmp(one.connect("hmp"))
    for name, line in (("p", "pmemsave 0xffff0000 0x10000"), ("v", "memsave 0xffff0000 0x10000")):
        path = FOLDER / f"memory.{name}"
        expect(hmp.ask(f'{line} "{path}"') == "", line)
        expect(path.stat().st_size == 0x10000 and path.read_bytes()[0xfff0] == 0xea, "the reset vector is a jump")
    expect("ljmp     0xf000:0xe05b" in hmp.ask("x/1i 0xffff0").lower(), hmp.ask("x/1i 0xffff0"))
    one.end()


@test
def nographic_shares_the_terminal():
    process = subprocess.Popen([PROGRAM, "-nographic", "-m", "16", "-S"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = b""
    for keys, part in ((b"\x01c", b"(qemu) "), (b"info status\n", b"(prelaunch)\r\n(qemu) "), (b"\x01h", b"sends C-a")):
        process.stdin.write(keys)
        process.stdin.flush()
        while part not in out:
            more = os.read(process.stdout.fileno(), 4096)
            expect(more, f"ends: {out}")
            out += more
    process.stdin.write(b"\x01x")
    process.stdin.flush()
    rest, err = process.communicate(timeout=60)
    out += rest
    expect(process.returncode == 0, f"status {process.returncode} {err}")
    for part in (b"monitor - type 'help'", b"VM status: paused (prelaunch)", b"C-a c    switch between", b"Terminated"):
        expect(part in out, f"{part}: {out}")


@test
def a_daemon_is_there_when_the_command_returns():
    pid_file, place = FOLDER / "daemon.pid", FOLDER / "daemon.sock"
    done = subprocess.run([PROGRAM, "-display", "none", "-daemonize", "-pidfile", pid_file, "-m", "16",
                           "-serial", "null", "-monitor", f"unix:{place},server=on,wait=off"],
                          capture_output=True, timeout=20)
    expect(done.returncode == 0 and not done.stderr, f"{done}")
    pid = int(pid_file.read_text())
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(place))
    client.settimeout(10)
    hmp = talk.Hmp(client)
    expect(hmp.ask("info status") == "VM status: running\n", "runs")
    again = subprocess.run([PROGRAM, "-display", "none", "-pidfile", pid_file, "-m", "16"], capture_output=True,
                           timeout=20)
    expect(again.returncode == 1 and b"cannot create PID file" in again.stderr, f"{again}")
    client.sendall(b"quit\n")
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the end")
    expect(not pid_file.exists(), "the file is gone")


@test
def contradictions_are_one_line():
    for words, part in [
        (["-daemonize", "-nographic"], "-nographic cannot be used with -daemonize"),
        (["-daemonize", "-monitor", "stdio"], "cannot use stdio with -daemonize"),
        (["-monitor", "foo"], "'foo' is not a valid char driver"),
        (["-monitor", "stdio", "-serial", "stdio"], "cannot use stdio by multiple character devices"),
        (["-mon", "chardev=x"], 'chardev "x" not found'),
        (["-mon", "mode=control"], "Parameter 'chardev' is missing"),
        (["-chardev", "null,id=x", "-mon", "x,mode=foo"], 'unknown monitor mode "foo"'),
        (["-chardev", "null"], "chardev: no id specified"),
        (["-chardev", "foo,id=x"], "'foo' is not a valid char driver name"),
        (["-chardev", "ringbuf,id=x,size=3"], "power of two"),
        (["-chardev", "null,id=x", "-chardev", "null,id=x"], "Duplicate ID 'x' for chardev"),
        (["-chardev", "null,id=x", "-serial", "chardev:x", "-mon", "x"], "in use"),
        (["-qmp", "unix:/nonexistent/x,server=on,wait=off"], "/nonexistent/x"),
        (["-pidfile", "/nonexistent/x"], "cannot create PID file"),
    ]:
        done = subprocess.run([PROGRAM, "-display", "none", "-m", "16", *words], capture_output=True, text=True,
                              timeout=20, stdin=subprocess.DEVNULL)
        lines = done.stderr.splitlines()
        expect(done.returncode == 1 and len(lines) == 1 and part in lines[0], f"{words}: {done}")


if __name__ == "__main__":
    sys.exit(suite.main())
