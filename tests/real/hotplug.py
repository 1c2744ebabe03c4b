#!/usr/bin/env python3
"""hotplug.py FOLDER SLOW MACHINE PROGRAM WORDS...: plugs devices into a guest of hotplug.sh and pulls them out again."""
import hashlib
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "monitor"))
import talk  # noqa: E402

FOLDER, SLOW = pathlib.Path(sys.argv[1]), int(sys.argv[2])
SERIAL = FOLDER / "serial"
IMAGE = FOLDER / "disk.img"
DISK = f"driver=raw,node-name=d,file.driver=file,file.filename={IMAGE}"


def wait_for(what, seen):
    end = time.monotonic() + 60 * SLOW
    while not seen():
        if time.monotonic() > end:
            raise AssertionError(f"timed out: {what}; serial: {SERIAL.read_text(errors='replace')[-400:]!r}")
        time.sleep(0.1)


def marked(text):
    wait_for(text, lambda: f"@@{text}" in SERIAL.read_text(errors="replace"))


def checksum():
    return hashlib.md5(IMAGE.read_bytes()).hexdigest()


def do(qmp, name, **arguments):
    answer = qmp.ask(name, **arguments)
    if "return" not in answer:
        raise AssertionError(f"{name} {arguments}: {answer}")


def deleted(qmp, ident):
    def seen():
        qmp.ask("query-status")
        return any(event["event"] == "DEVICE_DELETED" and event["data"].get("device") == ident for event in qmp.events)
    wait_for(f"DEVICE_DELETED of {ident}", seen)
    qmp.events.clear()


def refused(qmp, text, name, **arguments):
    answer = qmp.ask(name, **arguments)
    if text not in answer.get("error", {}).get("desc", ""):
        raise AssertionError(f"{name} {arguments}: {answer}, not {text!r}")


def told(qmp, line, wanted=""):
    answer = qmp.ask("human-monitor-command", command_line=line)
    if answer.get("return", "").strip() != wanted:
        raise AssertionError(f"{line}: {answer}, not {wanted!r}")


def unplug(qmp, ident):
    do(qmp, "device_del", id=ident)
    deleted(qmp, ident)


def on_pc(qmp):
    marked("ready")
    do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk")
    marked(f"disk {checksum()}")
    do(qmp, "device_add", driver="e1000", netdev="n", id="card", mac="52:54:00:12:34:99")
    marked("card 52:54:00:12:34:99")
    refused(qmp, "Duplicate device ID", "device_add", driver="e1000", id="card")
    refused(qmp, "'VGA' does not support hotplugging", "device_del", id="screen")
    refused(qmp, "expects a pluggable device type", "device_add", driver="VGA")
    unplug(qmp, "disk")
    marked("disk gone")
    unplug(qmp, "card")
    marked("card gone")
    do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk")
    marked(f"disk again {checksum()}")
    marked("all done")


def greeting_by(port):
    end = time.monotonic() + 60 * SLOW
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            try:
                got = client.recv(100)
            except OSError:
                got = b""
        if got:
            return got.decode()
        time.sleep(0.5)
    return ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def disks_on_q35(qmp):
    do(qmp, "blockdev-add", driver="file", node_name="f", filename=str(IMAGE))
    do(qmp, "blockdev-add", driver="raw", node_name="d", file="f")
    refused(qmp, "Duplicate nodes with node-name='d'", "blockdev-add", driver="raw", node_name="d", file="f")
    refused(qmp, "Block device f is in use", "blockdev-del", node_name="f")
    refused(qmp, "Bus 'pcie.0' does not support hotplugging", "device_add", driver="virtio-blk-pci", drive="d")
    do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk", bus="rp1")
    marked(f"disk {checksum()}")
    refused(qmp, "Node d is in use", "blockdev-del", node_name="d")
    do(qmp, "block_resize", node_name="d", size=2 << 20)
    marked("sectors 4096")
    unplug(qmp, "disk")
    marked("disk gone")
    do(qmp, "blockdev-del", node_name="d")
    do(qmp, "blockdev-del", node_name="f")
    refused(qmp, "Failed to find node with node-name='f'", "blockdev-del", node_name="f")
    told(qmp, f"drive_add 0 if=none,id=d,format=raw,file={IMAGE}", "OK")
    do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk", bus="rp1")
    marked(f"disk again {checksum()}")


def cards_on_q35(qmp):
    do(qmp, "netdev_add", type="user", id="n")
    do(qmp, "device_add", driver="virtio-net-pci", netdev="n", id="card", mac="52:54:00:12:34:99", bus="rp2")
    marked("card 52:54:00:12:34:99")
    port = free_port()
    told(qmp, f"hostfwd_add n tcp:127.0.0.1:{port}-:7000")
    if "hello from the guest" not in greeting_by(port):
        raise AssertionError("the forwarded port says nothing")
    marked("served")
    told(qmp, f"hostfwd_remove n tcp:127.0.0.1:{port}", f"host forwarding rule for tcp:127.0.0.1:{port} removed")
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        raise AssertionError("the forwarded port is still there")
    except ConnectionRefusedError:
        pass
    do(qmp, "device_add", driver="e1000e", id="second", mac="52:54:00:12:34:9a", bus="rp3")
    marked("second 52:54:00:12:34:9a")
    unplug(qmp, "card")
    marked("card gone")
    do(qmp, "netdev_del", id="n")
    unplug(qmp, "second")
    marked("second gone")


def on_q35(qmp):
    refused(qmp, "Bus 'pcie.0' does not support hotplugging", "device_del", id="rp1")
    disks_on_q35(qmp)
    cards_on_q35(qmp)
    told(qmp, "drive_del d")
    marked("disk fails")
    unplug(qmp, "disk")
    marked("failing disk gone")
    marked("all done")


PARTS = {
    "pc": (on_pc, ["-device", "VGA,id=screen", "-blockdev", DISK, "-netdev", "user,id=n"]),
    "q35": (on_q35, [*(word for n in "123" for word in ("-device", f"pcie-root-port,id=rp{n},slot={n}"))]),
}


def main():
    SERIAL.touch()
    part, words = PARTS[sys.argv[3]]
    machine = talk.Machine(sys.argv[4], FOLDER, *sys.argv[5:], "-machine", sys.argv[3], "-m", "384", "-no-shutdown",
                           "-serial", f"file:{SERIAL}", *words, serial=False)
    try:
        part(talk.Qmp(machine.connect("qmp")))
    finally:
        print(SERIAL.read_text(errors="replace"))
        machine.end()


if __name__ == "__main__":
    try:
        main()
    except AssertionError as why:
        print(why)
        sys.exit(1)
