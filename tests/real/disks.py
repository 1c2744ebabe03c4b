#!/usr/bin/env python3
"""Disks under a stock kernel, where the host's file has to be looked at or the monitor used while the guest runs: each
image format, floppies of each size, cache modes by their system calls, throttles, discards, zeroes, full and failing
host disks, SMART. Prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`.

  tests/real/disks.py EMULATOR ACCELERATOR FOLDER [NAME...]"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import time

from linux_guest import EMULATOR, FOLDER, Guest, ROOT, Skip, expect, main, test

IMG = os.environ.get("RHEA_IMG", str(pathlib.Path(EMULATOR).resolve().parents[1] / "img/rhea-img"))
MODULES = "ata_piix,ahci,virtio_pci,virtio_blk,sd_mod"
USB_MODULES = MODULES + ",xhci-pci,usb-storage"
MIB = 1 << 20


def img(*words):
    done = subprocess.run([IMG, *map(str, words)], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"rhea-img {' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def noise(name, size):
    data = os.urandom(size)
    (FOLDER / name).write_bytes(data)
    return data


def blocks(name):
    return os.stat(FOLDER / name).st_blocks * 512


def done(guest, seconds=90):
    guest.wait("RHEA-GUEST-DONE 0", seconds)
    guest.process.wait(60)
    expect(guest.process.returncode == 0, f"status {guest.process.returncode}")


@test
def formats():
    """Each format is written and read by the guest; afterwards rhea-img finds the image sound and the bytes there."""
    kinds = ["raw", "qcow2", "qed", "vdi", "vpc", "vmdk", "vhdx"]
    size = 16 * MIB
    options, names = [], {}
    for i, kind in enumerate(kinds):
        img("create", "-q", "-f", kind, FOLDER / f"disk.{kind}", size)
        names[f"vd{chr(ord('a') + i)}"] = kind
        options += ["-drive", f"file={FOLDER}/disk.{kind},format={kind},if=virtio"]
    commands = """
seq 1 300000 | head -c 1500160 >/tmp/data
for d in DISKS; do
  for at in 0 37 101 220; do dd if=/tmp/data of=/dev/$d bs=64k seek=$at conv=fsync,notrunc 2>/dev/null || mark "$d no write"; done
  echo 3 >/proc/sys/vm/drop_caches
  for at in 0 37 101 220; do dd if=/dev/$d bs=64k skip=$at 2>/dev/null | head -c 1500160 | cmp - /tmp/data || mark "$d differs"; done
  mark "$d $(sha256sum </dev/$d | cut -c1-64)"
done
""".replace("DISKS", " ".join(names))
    with Guest("formats", commands, *options, modules=MODULES) as guest:
        sums = {disk: guest.wait(f"@@{disk} ([0-9a-f]{{64}})\n", 180)[1] for disk in names}
        done(guest)
    for disk, kind in names.items():
        raw = FOLDER / f"{kind}.raw"
        img("convert", "-f", kind, "-O", "raw", FOLDER / f"disk.{kind}", raw)
        data = raw.read_bytes()  # vpc: whole cylinders, more than was asked for
        expect(hashlib.sha256(data).hexdigest() == sums[disk], f"{kind}: the image is not what the guest read")
        if kind not in ("raw", "vpc"):
            img("check", "-q", "-f", kind, FOLDER / f"disk.{kind}")


FORMAT = """
#include <fcntl.h>
#include <linux/fd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
int main(int count, char **words) {
  int disk = open(words[1], O_WRONLY);
  struct format_descr track = {0, 1, atoi(words[2])};
  return count != 3 || disk < 0 || ioctl(disk, FDFMTBEG, 0) || ioctl(disk, FDFMTTRK, &track) || ioctl(disk, FDFMTEND, 0);
}
"""


@test
def floppies():
    """Each size, read, written and, on the last track, formatted; the drive's type in CMOS is the medium's."""
    (FOLDER / "format.c").write_text(FORMAT)
    if subprocess.run(["gcc", "-static", "-o", FOLDER / "format", FOLDER / "format.c"], check=False).returncode != 0:
        raise Skip("needs gcc and a static libc")
    commands = """
for d in fd0 fd1; do
  dd if=/dev/$d of=/dev/null count=1 2>/dev/null  # the kernel finds out what is in there
  mark "$d $(cat /sys/block/$d/size) $(sha256sum </dev/$d | cut -c1-64)"
  dd if=/dev/zero bs=512 count=3 2>/dev/null | tr '\\0' w | dd of=/dev/$d bs=512 seek=317 conv=fsync,notrunc 2>/dev/null || mark "$d no write"
  [ $(cat /sys/block/$d/size) = 720 ] && last=39 || last=79
  /bin/format /dev/$d $last || mark "$d not formatted"
done
"""
    for kinds in ((360, 720), (1200, 1440), (2880, 1440)):
        contents, options = [], []
        for unit, kib in enumerate(kinds):
            contents.append(noise(f"floppy{unit}", kib * 1024))
            options += ["-drive", f"file={FOLDER}/floppy{unit},format=raw,if=floppy,index={unit}"]
        with Guest("floppies", commands, *options, modules="floppy", extra=["--add", f"{FOLDER}/format:/bin/format"]) as guest:
            for unit, kib in enumerate(kinds):
                found = guest.wait(f"@@fd{unit} (\d+) ([0-9a-f]*)", 180)
                expect(int(found[1]) == kib * 2, f"{kib} KiB: the kernel finds {found[1]} sectors")
                expect(found[2] == hashlib.sha256(contents[unit]).hexdigest(), f"{kib} KiB: what is read is not what is there")
            expect("@@" not in guest.wait("(?s)(.*)RHEA-GUEST-DONE 0", 120)[1], f"{kinds}: a write or a format failed")
            guest.process.wait(60)
        for unit, kib in enumerate(kinds):
            track = {360: 9, 720: 9, 1200: 15, 1440: 18, 2880: 36}[kib] * 512
            wanted = contents[unit][:317 * 512] + b"w" * 1536 + contents[unit][320 * 512:-track] + b"\xf6" * track
            expect((FOLDER / f"floppy{unit}").read_bytes() == wanted, f"{kib} KiB: what was written is not there")


@test
def cache_modes():
    """What each cache= does with the host's file, by its system calls."""
    if shutil.which("strace") is None:
        raise Skip("needs strace")
    commands = """
dd if=/dev/vda of=/dev/null bs=4k count=4 iflag=direct 2>/dev/null
mark writing
dd if=/dev/zero of=/dev/vda bs=4k count=10 oflag=direct 2>/dev/null
mark flushing
dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=20 conv=fsync oflag=direct 2>/dev/null
"""
    for mode, direct, each_write, flushes in (("writeback", False, False, True), ("none", True, False, True),
                                              ("writethrough", False, True, True), ("directsync", True, True, True),
                                              ("unsafe", False, False, False)):
        noise("cache.img", MIB)
        trace = FOLDER / "calls"
        with Guest("cache", commands, "-drive", f"file={FOLDER}/cache.img,format=raw,if=virtio,cache={mode}", modules=MODULES,
                   prefix=["strace", "-f", "-y", "-e", "trace=openat,pwrite64,pwritev,pwritev2,fdatasync,fsync", "-o", str(trace)]) as guest:
            done(guest, 240)
        calls = [line for line in trace.read_text(errors="replace").splitlines() if "cache.img" in line]
        opened = [line for line in calls if "openat(" in line and "O_RDWR" in line]
        writes = [line for line in calls if "pwrite" in line]
        synced = [line for line in calls if re.search("(fdata|f)sync", line)]
        expect(opened and all(("O_DIRECT" in line) == direct for line in opened), f"{mode}: opened by {opened}")
        expect(len(writes) >= 11, f"{mode}: {len(writes)} writes")
        expect((len(synced) >= 11) if each_write else (1 <= len(synced) < 11) if flushes else not synced,
               f"{mode}: {len(synced)} flushes for {len(writes)} writes")


@test
def throttles():
    commands = """
took() { b=$(cut -d' ' -f1 /proc/uptime); shift; "$@" 2>/dev/null; echo "$b $(cut -d' ' -f1 /proc/uptime)" | awk '{printf "%d", ($2 - $1) * 1000}'; }
mark "bytes $(took x dd if=/dev/vda of=/dev/null bs=64k count=48 iflag=direct)"
mark "operations $(took x dd if=/dev/zero of=/dev/vdb bs=4k count=60 oflag=direct)"
mark "free $(took x dd if=/dev/vdc of=/dev/null bs=64k count=48 iflag=direct)"
both() { dd if=/dev/vdd of=/dev/null bs=64k count=48 iflag=direct & dd if=/dev/vde of=/dev/null bs=64k count=48 iflag=direct; wait; }
mark "group $(took x both)"
"""
    options = []
    for name, limits in (("a", "throttling.bps-total=1048576"), ("b", "throttling.iops-write=20"), ("c", "throttling.iops-write=20"),
                         *((name, "throttling.bps-total=2097152,throttling.group=g") for name in ("d", "e"))):
        noise(f"throttle.{name}", 4 * MIB)
        options += ["-drive", f"file={FOLDER}/throttle.{name},format=raw,if=virtio,{limits}"]
    with Guest("throttles", commands, *options, modules=MODULES) as guest:
        size = int(guest.wait("@@bytes (\\d+)")[1])
        count = int(guest.wait("@@operations (\\d+)")[1])
        free = int(guest.wait("@@free (\\d+)")[1])
        group = int(guest.wait("@@group (\\d+)")[1])
        done(guest)
    expect(2000 < size < 6000, f"3 MiB at 1 MiB/s took {size} ms")
    expect(2000 < count < 6000, f"60 writes at 20 a second took {count} ms")
    expect(free < 1500, f"reads beside iops-write took {free} ms")
    expect(2300 < group < 6000, f"two disks of 3 MiB in a group of 2 MiB/s took {group} ms")


@test
def holes():
    """discard=unmap by blkdiscard and fstrim, discard=ignore, detect-zeroes= by what the host's file occupies."""
    mkfs = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    if mkfs is None:
        raise Skip("needs mkfs.ext4")
    for name in ("unmap", "ignore", "zeroes-unmap", "zeroes-off"):
        noise(name, 8 * MIB)
    img("convert", "-O", "qcow2", FOLDER / "unmap", FOLDER / "unmap.qcow2")
    with open(FOLDER / "ext4", "wb") as disk:
        disk.truncate(48 * MIB)
    subprocess.run([mkfs, "-q", "-F", FOLDER / "ext4"], check=True)
    commands = """
blkdiscard /dev/vda || mark "no discard"
blkdiscard /dev/vdb
dd if=/dev/zero of=/dev/vdc bs=64k count=128 oflag=direct 2>/dev/null
dd if=/dev/zero of=/dev/vdd bs=64k count=128 oflag=direct 2>/dev/null
blkdiscard /dev/vde
mount -t ext4 /dev/vdf /mnt && head -c 20000000 /dev/urandom >/mnt/file && sync && ask full
rm /mnt/file && sync && fstrim /mnt && mark trimmed
umount /mnt
"""
    drives = [("unmap", "raw", "discard=unmap"), ("ignore", "raw", "discard=ignore"),
              ("zeroes-unmap", "raw", "discard=unmap,detect-zeroes=unmap"), ("zeroes-off", "raw", "discard=unmap"),
              ("unmap.qcow2", "qcow2", "discard=unmap"), ("ext4", "raw", "discard=on")]
    options = [word for name, kind, more in drives for word in ("-drive", f"file={FOLDER}/{name},format={kind},if=virtio,{more}")]
    with Guest("holes", commands, *options, modules=MODULES + ",crc32c_generic,ext4") as guest:
        guest.wait("@@full", 120)
        full = blocks("ext4")
        guest.answer()
        guest.wait("@@trimmed")
        done(guest)
    expect(full > 20_000_000, f"the file in the guest occupies {full}")
    expect(blocks("ext4") < full - 15_000_000, f"fstrim: {full} before, {blocks('ext4')} after")
    expect(blocks("unmap") < MIB, f"discard=unmap leaves {blocks('unmap')}")
    expect(blocks("ignore") >= 8 * MIB, f"discard=ignore leaves {blocks('ignore')}")
    expect(blocks("zeroes-unmap") < MIB, f"detect-zeroes=unmap leaves {blocks('zeroes-unmap')}")
    expect(blocks("zeroes-off") >= 8 * MIB, f"without detect-zeroes {blocks('zeroes-off')} are left")
    expect(blocks("unmap.qcow2") < MIB, f"qcow2 keeps {blocks('unmap.qcow2')}")


# Where a disk -drive if=none,id=d goes on, and the disk in the guest once it is there.
PLACES = {"virtio": ["-device", "virtio-blk-pci,drive=d"], "ide": ["-device", "ide-hd,drive=d,bus=ide.0"],
          "ahci": ["-device", "ahci,id=sata", "-device", "ide-hd,drive=d,bus=sata.0"],
          "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=d"]}
FIND_DISK = """
i=0; while [ $i -lt 100 ] && [ ! -e /dev/vda ] && [ ! -e /dev/sda ]; do sleep 0.2; i=$((i + 1)); done
[ -e /dev/vda ] && disk=vda || disk=sda
"""


def paused(guest, what):
    guest.wait("RHEA-GUEST-UP")
    end = time.monotonic() + 60
    while "io-error" not in (status := guest.command("info status")):
        expect(time.monotonic() < end, f"{what}: {status}")
        time.sleep(0.2)


def small_file_system(mib):
    """A mounted tmpfs; gives its path, is taken away by the caller."""
    path = FOLDER / "small"
    path.mkdir(exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "rhea", path], check=False).returncode != 0:
        raise Skip("a file system that gets full needs root")
    return path


@test
def full_host_disk():
    """werror=enospc and stop pause the machine; `cont` goes on once there is room, and nothing is lost. report and ignore."""
    commands = FIND_DISK + """
seq 1 2000000 | head -c 12000000 >/tmp/data
dd if=/tmp/data of=/dev/$disk bs=1M oflag=direct 2>/dev/null && ask wrote || ask failed
"""
    data = b"".join(b"%d\n" % i for i in range(1, 2000001))[:12000000]
    for bus, policy in (("virtio", "enospc"), ("ide", "enospc"), ("ahci", "stop"), ("virtio", "report"), ("virtio", "ignore"),
                        ("usb", "enospc"), ("usb", "stop"), ("usb", "report"), ("usb", "ignore")):
        path = small_file_system(4)
        try:
            with open(path / "disk", "wb") as disk:
                disk.truncate(16 * MIB)
            options = ["-drive", f"file={path}/disk,format=raw,if=none,id=d,werror={policy}"]
            with Guest("full", commands, *options, *PLACES[bus], modules=USB_MODULES) as guest:
                if policy in ("report", "ignore"):
                    guest.wait("@@failed" if policy == "report" else "@@wrote")
                    expect("running" in guest.command("info status"), f"{policy}: it does not run")
                    continue
                paused(guest, f"{bus} {policy}")
                guest.command("cont")  # still full: it stops again
                time.sleep(1)
                expect("io-error" in guest.command("info status"), f"{bus} {policy}: goes on without room")
                subprocess.run(["mount", "-o", "remount,size=32m", path], check=True)
                guest.command("cont")
                guest.wait("@@wrote")
                guest.answer()
                done(guest)
            expect((path / "disk").read_bytes()[:len(data)] == data, f"{bus} {policy}: the data is not whole")
        finally:
            subprocess.run(["umount", path], check=False)


@test
def read_errors():
    """A cluster that cannot be read: rerror=stop pauses the machine until it can be, report and ignore go on."""
    data = b"".join(b"%d\n" % i for i in range(1, 200001))[:MIB]
    (FOLDER / "good").write_bytes(data)
    commands = FIND_DISK + """
ask "sum $(dd if=/dev/$disk bs=64k iflag=direct 2>/dev/null | sha256sum | cut -c1-64)"
"""
    for bus, policy in (("usb", "stop"), ("usb", "report"), ("usb", "ignore"), ("virtio", "stop"), ("ide", "stop"), ("ahci", "stop"),
                        ("virtio", "report"), ("ide", "report"), ("ahci", "report")):
        img("convert", "-c", "-O", "qcow2", FOLDER / "good", FOLDER / "bad.qcow2")
        whole = (FOLDER / "bad.qcow2").read_bytes()
        at = len(whole) // 2
        with open(FOLDER / "bad.qcow2", "r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 4096)
        options = ["-drive", f"file={FOLDER}/bad.qcow2,if=none,id=d,rerror={policy}", *PLACES[bus]]
        with Guest("errors", commands, *options, modules=USB_MODULES) as guest:
            if policy == "stop":
                paused(guest, f"{bus} {policy}")
                with open(FOLDER / "bad.qcow2", "r+b") as file:
                    file.seek(at)
                    file.write(whole[at:at + 4096])
                guest.command("cont")
            found = guest.wait("@@sum ([0-9a-f]*)")[1]
            expect("running" in guest.command("info status"), f"{bus} {policy}: it does not run")
            guest.answer()
            expect((found == hashlib.sha256(data).hexdigest()) == (policy == "stop"), f"{bus} {policy}: the data")
            done(guest)


@test
def removable():
    """Media taken out and changed while they are in use, and a CD that is cut off: the guest has errors, the machine goes on."""
    mkisofs = shutil.which("xorriso")
    if mkisofs is None:
        raise Skip("needs xorriso")
    files = {}
    for name in ("one", "two"):
        (FOLDER / name).mkdir(exist_ok=True)
        (FOLDER / name / "big").write_bytes(os.urandom(8 * MIB))
        (FOLDER / name / "name").write_text(name + "\n")
        subprocess.run([mkisofs, "-as", "mkisofs", "-quiet", "-o", FOLDER / f"{name}.iso", FOLDER / name], check=True,
                       stderr=subprocess.DEVNULL)
        files[name] = hashlib.sha256((FOLDER / name / "big").read_bytes()).hexdigest()
    with open(FOLDER / "cut.iso", "wb") as cut:
        cut.write((FOLDER / "one.iso").read_bytes()[:5 * MIB + 1000])
    noise("stick", 4 * MIB)
    commands = """
i=0; while [ $i -lt 100 ] && [ ! -e /dev/sda ]; do sleep 0.2; i=$((i + 1)); done
mount -t iso9660 /dev/sr0 /mnt && ask "mounted $(cat /mnt/name)"
cat /mnt/big >/dev/null 2>&1 && mark "read on" || mark "gone"
umount -l /mnt; ask changed
mount -t iso9660 /dev/sr0 /mnt && mark "then $(cat /mnt/name) $(sha256sum </mnt/big | cut -c1-64)"
umount /mnt; ask cut
mount -t iso9660 /dev/sr0 /mnt && { cat /mnt/big >/dev/null 2>&1 && mark "all of it" || mark "a part"; }
dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null && ask stick
dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null && mark "still there" || ask "no stick"
"""
    options = ["-device", "ide-cd,drive=cd,bus=ide.1", "-drive", f"file={FOLDER}/one.iso,if=none,id=cd,media=cdrom", "-device", "qemu-xhci",
               "-drive", f"file={FOLDER}/stick,format=raw,if=none,id=usb", "-device", "usb-storage,drive=usb,removable=on"]
    with Guest("removable", commands, *options, modules=USB_MODULES + ",sr_mod,isofs") as guest:
        guest.wait("@@mounted one")
        said = guest.command("eject cd")
        expect("is locked" in said, f"a mounted CD: {said}")
        guest.command("eject -f cd")
        guest.answer()
        guest.wait("@@gone")
        guest.wait("@@changed")
        guest.command(f"change cd {FOLDER}/two.iso")
        guest.answer()
        expect(guest.wait("@@then two (.*)")[1] == files["two"], "the other CD reads wrong")
        guest.wait("@@cut")
        guest.command(f"change cd {FOLDER}/cut.iso")
        guest.answer()
        guest.wait("cut.iso' is cut off: the disc in it has")
        guest.wait("@@a part")
        guest.wait("@@stick")
        guest.command("eject -f usb")
        guest.answer()
        guest.wait("@@no stick")
        expect("running" in guest.command("info status"), "it does not run")
        guest.answer()
        done(guest)


@test
def snapshots():
    """-snapshot leaves the files alone until `commit` writes back what the guest wrote: of one disk by its name, then of all."""
    commands = """
for d in vda vdb sda; do
  dd if=/dev/zero bs=64k count=3 2>/dev/null | tr '\\0' s | dd of=/dev/$d bs=64k seek=5 conv=fsync,notrunc 2>/dev/null || mark "$d no write"
done
ask written
dd if=/dev/zero bs=64k count=1 2>/dev/null | tr '\\0' t | dd of=/dev/vda bs=64k seek=20 conv=fsync,notrunc 2>/dev/null
[ "$(dd if=/dev/vdb bs=64k skip=5 count=3 2>/dev/null | tr -d s | wc -c)" = 0 ] || mark "vdb differs"
ask again
"""
    before = {name: noise(name, 2 * MIB) for name in ("one", "two", "three")}
    img("convert", "-O", "qcow2", FOLDER / "two", FOLDER / "two.qcow2")
    kept = (FOLDER / "two.qcow2").read_bytes()
    options = ["-snapshot", "-drive", f"file={FOLDER}/one,format=raw,if=virtio,id=one", "-drive", f"file={FOLDER}/two.qcow2,if=virtio,id=two",
               "-drive", f"file={FOLDER}/three,format=raw,if=none,id=three", "-device", "ide-hd,drive=three,bus=ide.0"]

    def written(name, *pieces):
        data = bytearray(before[name])
        for at, text in pieces:
            data[at:at + len(text)] = text
        return bytes(data)

    some, more = (5 * 65536, b"s" * 3 * 65536), (20 * 65536, b"t" * 65536)
    with Guest("snapshots", commands, *options, modules=MODULES) as guest:
        guest.wait("@@written", 120)
        expect((FOLDER / "one").read_bytes() == before["one"] and (FOLDER / "three").read_bytes() == before["three"] and
               (FOLDER / "two.qcow2").read_bytes() == kept, "-snapshot writes to the disk")
        said = guest.command("commit one")
        expect((FOLDER / "one").read_bytes() == written("one", some), f"commit one: {said}")
        expect((FOLDER / "three").read_bytes() == before["three"], "commit one writes to another disk")
        guest.answer()
        guest.wait("@@again")
        said = guest.command("commit all")
        expect((FOLDER / "one").read_bytes() == written("one", some, more), f"commit all: {said}")
        expect((FOLDER / "three").read_bytes() == written("three", some), f"commit all, three: {said}")
        guest.answer()
        expect("@@" not in guest.wait("(?s)(.*)RHEA-GUEST-DONE 0")[1], "what was committed reads wrong")
        guest.process.wait(60)
    img("convert", "-O", "raw", FOLDER / "two.qcow2", FOLDER / "two.raw")
    expect((FOLDER / "two.raw").read_bytes() == written("two", some), "commit all: qcow2")
    img("check", "-q", FOLDER / "two.qcow2")


@test
def queues():
    """virtio-blk with a queue for each of four vCPUs, all of them used at the same time."""
    commands = """
mark "queues $(ls -d /sys/block/vda/mq/* | wc -l)"
for c in 0 1 2 3; do
  (yes "cpu $c" | head -c 4194304 >/tmp/$c; taskset $((1 << c)) dd if=/tmp/$c of=/dev/vda bs=64k seek=$((c * 64)) oflag=direct conv=notrunc 2>/dev/null
   taskset $((1 << c)) dd if=/dev/vda bs=64k skip=$((c * 64)) count=64 iflag=direct 2>/dev/null | cmp - /tmp/$c || mark "$c differs") &
done
wait
mark "interrupts $(grep -c 'virtio[0-9]*-req' /proc/interrupts) idle $(grep 'virtio[0-9]*-req' /proc/interrupts | awk '$2 + $3 + $4 + $5 == 0' | wc -l)"
"""
    for queues in (4, 2):
        noise("disk", 16 * MIB)
        with Guest("queues", commands, "-smp", "4", "-drive", f"file={FOLDER}/disk,format=raw,if=none,id=d", "-device",
                   f"virtio-blk-pci,drive=d,num-queues={queues}", modules=MODULES) as guest:
            expect(int(guest.wait("@@queues (\d+)")[1]) == queues, "the guest finds other queues")
            said = guest.wait("(?s)(.*)@@interrupts (\d+) idle (\d+)")
            expect("@@" not in said[1] and int(said[2]) == queues and int(said[3]) == 0, f"{queues} queues: {said[0]}")
            done(guest)
        expect((FOLDER / "disk").read_bytes() == b"".join((b"cpu %d\n" % c * 700000)[:4194304] for c in range(4)), "the data")


@test
def smart():
    """smartctl in the guest, on IDE and on AHCI."""
    packages = subprocess.run([ROOT / "scripts/guest/fetch-package.sh", "smartmontools", "libcap-ng0"], capture_output=True, text=True,
                              check=False).stdout.strip()
    program = pathlib.Path(packages) / "usr/sbin/smartctl"
    if not program.exists():
        raise Skip("smartctl cannot be had")
    commands = """
for d in sda sdb; do
  smartctl -i -H -A -c /dev/$d >/tmp/s; mark "$d status $?"
  sed -n 's/^Device Model: */model /p; s/^Serial Number: */serial /p; s/^SMART overall-health self-assessment test result: */health /p' /tmp/s
  grep -c -E '^ *[0-9]+ [A-Z][A-Za-z_]+ ' /tmp/s
  smartctl -t short /dev/$d | grep -i "testing has begun"
  mark "$d end"
done
"""
    for name in ("a", "b"):
        noise(name, 4 * MIB)
    libs = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    extra = ["--add", f"{program}:/usr/sbin/smartctl"]
    for lib in re.findall("/[^ )]+", libs):
        extra += ["--add", f"{lib}:{lib}"]
    for lib in pathlib.Path(packages, "usr/lib/x86_64-linux-gnu").glob("libcap-ng.so.0*"):
        extra += ["--add", f"{lib}:/usr/lib/x86_64-linux-gnu/{lib.name}"]
    with Guest("smart", commands, "-drive", f"file={FOLDER}/a,format=raw,if=none,id=a", "-device", "ide-hd,drive=a,bus=ide.0,serial=S1",
               "-drive", f"file={FOLDER}/b,format=raw,if=none,id=b", "-device", "ahci,id=sata", "-device",
               "ide-hd,drive=b,bus=sata.0,serial=S2", modules=MODULES, extra=extra) as guest:
        for disk in ("sda", "sdb"):
            said = guest.wait(f"@@{disk} status 0\n((.|\n)*)@@{disk} end")[1]
            for what in ("model QEMU HARDDISK", "serial S", "health PASSED", "Testing has begun"):
                expect(what in said, f"{disk}: no '{what}' in {said!r}")
        done(guest)


main("linux-disks-")
