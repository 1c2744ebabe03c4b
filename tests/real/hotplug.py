#!/usr/bin/env python3
"""hotplug.py FOLDER SLOW PROGRAM WORDS...: plugs devices into the guest of hotplug.sh and pulls them out again."""
import hashlib
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "monitor"))
import talk  # noqa: E402

FOLDER, SLOW = pathlib.Path(sys.argv[1]), int(sys.argv[2])
SERIAL = FOLDER / "serial"
DISK = f"driver=raw,node-name=d,file.driver=file,file.filename={FOLDER / 'disk.img'}"


def wait_for(what, seen):
    end = time.monotonic() + 60 * SLOW
    while not seen():
        if time.monotonic() > end:
            raise AssertionError(f"timed out: {what}; serial: {SERIAL.read_text(errors='replace')[-400:]!r}")
        time.sleep(0.1)


def marked(text):
    wait_for(text, lambda: f"@@{text}" in SERIAL.read_text(errors="replace"))


def checksum():
    return hashlib.md5((FOLDER / "disk.img").read_bytes()).hexdigest()


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


def main():
    SERIAL.touch()
    machine = talk.Machine(sys.argv[3], FOLDER, *sys.argv[4:], "-m", "384", "-serial", f"file:{SERIAL}",
                           "-device", "VGA,id=screen", "-blockdev", DISK, "-netdev", "user,id=n", serial=False)
    try:
        qmp = talk.Qmp(machine.connect("qmp"))
        marked("ready")
        do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk")
        marked(f"disk {checksum()}")
        do(qmp, "device_add", driver="e1000", netdev="n", id="card", mac="52:54:00:12:34:99")
        marked("card 52:54:00:12:34:99")
        refused(qmp, "Duplicate device ID", "device_add", driver="e1000", id="card")
        refused(qmp, "'VGA' does not support hotplugging", "device_del", id="screen")
        refused(qmp, "expects a pluggable device type", "device_add", driver="VGA")
        do(qmp, "device_del", id="disk")
        deleted(qmp, "disk")
        marked("disk gone")
        do(qmp, "device_del", id="card")
        deleted(qmp, "card")
        marked("card gone")
        do(qmp, "device_add", driver="virtio-blk-pci", drive="d", id="disk")
        marked(f"disk again {checksum()}")
        marked("all done")
    finally:
        print(SERIAL.read_text(errors="replace"))
        machine.end()


if __name__ == "__main__":
    try:
        main()
    except AssertionError as why:
        print(why)
        sys.exit(1)
