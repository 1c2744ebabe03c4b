#!/usr/bin/env python3
"""The same command lines to qemu-img and to rhea-img under that name: output, messages and exit status must be equal
byte for byte.

commands.py BLOCK_TOOL RHEA_IMG
"""
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

from common import Suite

# Made by qemu-img and qemu-io before each group, in a folder of its own for each of the two programs.
FIXTURES = """
qemu-img create -q -f qcow2 a.qcow2 200M
qemu-img create -q -f raw a.raw 1M
qemu-io -f raw -c "write -P 5 0 64k" a.raw
qemu-img create -q -f qcow2 base.qcow2 4M
qemu-io -c "write -P 1 0 128k" -c "write -z 256k 64k" -c "write -P 2 1M 64k" base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 ov.qcow2
qemu-io -c "write -P 3 64k 64k" -c "write -z 1M 64k" ov.qcow2
qemu-img convert -O qcow2 -c base.qcow2 packed.qcow2
qemu-img convert -O raw base.qcow2 base.raw
cp base.raw longer.raw
truncate -s 8M longer.raw
qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 3M
qemu-img create -q -f qcow2 -o lazy_refcounts=on,refcount_bits=8,cluster_size=4k lazy.qcow2 3M
qemu-img create -q -f qcow2 -o extended_l2=on,compression_type=zstd ext.qcow2 3M
qemu-img create -q -f qcow2 -o data_file=d.raw data.qcow2 3M
mkdir d
qemu-img create -q -f qcow2 -u -b ../x -F raw d/n.qcow2 1M
qemu-img create -q -f qcow2 bm.qcow2 10M
qemu-img bitmap --add bm.qcow2 b0
qemu-img bitmap --add --disable -g 4k bm.qcow2 b1
qemu-img create -q -f qcow2 bm2.qcow2 20M
qemu-img bitmap --add bm2.qcow2 y
cp bm2.qcow2 broken.qcow2
qemu-img create -q -f qcow2 snap.qcow2 3M
qemu-io -c "write -P 1 0 1M" snap.qcow2
qemu-img snapshot -c a snap.qcow2
qemu-img snapshot -c b snap.qcow2
cp snap.qcow2 grown.qcow2
qemu-img resize -q grown.qcow2 5M
qemu-io -c "write -z 0 128k" snap.qcow2
qemu-img create -q -f vmdk x.vmdk 1M
"""

# One command a line; a line that begins with '+' runs in the folder as the ones before it left it, with '~' too, and the
# end of the file may be another one (snapshots are made in new places, see src/block/formats/qcow2/snapshot.cc).
COMMANDS = """

foo
info
info nofile
info /tmp
info a.qcow2 a.raw
info -U
info --foo a.raw
info --outp=json a.raw
info --output=xml a.raw
info -f foo a.raw
info -f qcow2 a.raw
info foo:a.raw
info file:a.raw
info a.qcow2
info --output=json a.qcow2
info a.raw
info --output=json a.raw
info ov.qcow2
info --backing-chain ov.qcow2
info --backing-chain --output=json ov.qcow2
info old.qcow2
info --output=json old.qcow2
info lazy.qcow2
info ext.qcow2
info data.qcow2
info --output=json data.qcow2
info d/n.qcow2
info --output=json d/n.qcow2
info --backing-chain d/n.qcow2
info --image-opts driver=raw,file.filename=a.raw
info --image-opts file.filename=a.raw
info --image-opts driver=raw,file.filename=a.raw,foo=1
info --image-opts driver=raw,file.filename=a.raw,file.foo=1
info --image-opts driver=qcow2,file.filename=a.qcow2,foo=1
info --image-opts -f raw file.filename=a.raw
info 'json:{"driver":"raw","file":{"driver":"file","filename":"a.raw"}}'
info --object secret,id=s a.raw

create
create x
create x abc
create x -1
create x 1M 2M
create x 9E
create -f foo x 1M
create -f
create -f raw x 10M
create -f raw x 1.5K
info ''
info --output=json ''
resize --preallocation=full lazy.qcow2 1M
create -f raw x 1.5
create -f raw -o size=5M x
create -f raw -o size=5M x 1M
create -o foo=1 x 1M
create -o preallocation=full x 1M
create -o preallocation=foo x 1M
create -f vdi -o preallocation=foo x 1M
create -f vpc -o subformat=fixed,preallocation=foo x 1M
create -f vmdk -o preallocation=foo x 1M
create -f vhdx -o preallocation=foo x 1M
create -f qed -o preallocation=foo x 1M
create -f qed -o preallocation=metadata x 1M
create -f raw -o preallocation=metadata x 1M
create /nodir/x 1M
create -b a.raw x 1M
create -f raw -o help
create -f raw -o help x
create -f qcow2 x 7E
create -f qcow2 /nodir/x 1M
create -f qcow2 -o foo=1 x 1M
create -f qcow2 -o cluster_size=abc x 1M
create -f qcow2 -o cluster_size=1000 x 1M
create -f qcow2 -o cluster_size=4M x 1M
create -f qcow2 -o compat=3 x 1M
create -f qcow2 -o compat=0.10,lazy_refcounts=on x 1M
create -f qcow2 -o refcount_bits=3 x 1M
create -f qcow2 -o compat=v2,refcount_bits=8 x 1M
create -f qcow2 -o compression_type=foo x 1M
create -f qcow2 -o compression_type=zstd,compat=0.10 x 1M
create -f qcow2 -o preallocation=foo x 1M
create -f qcow2 -o lazy_refcounts=foo x 1M
create -f qcow2 -o preallocation=metadata,extended_l2=on,compat=0.10 x 1M
create -f qcow2 -o extended_l2=on,cluster_size=8k x 1M
create -f qcow2 -o data_file_raw=on x 1M
create -f qcow2 -o data_file=d.raw,compat=0.10 x 1M
create -f qcow2 -b nofile x 1M
create -f qcow2 -b nofile -F qcow2 x
create -u -f qcow2 -b nofile -F qcow2 x
create -u -f qcow2 -b nofile -F qcow2 x 5M
+info x
create -f qcow2 -F qcow2 x 1M
create -f qcow2 -b a.qcow2 -F foo x 1M
create -f qcow2 -b x -F qcow2 x 1M
create -f qcow2 -b base.qcow2 -F qcow2 -o preallocation=metadata x
create -f qcow2 -b base.qcow2 -F qcow2 -o nocow=off,extent_size_hint=1M,compat=1.1 x
+info --output=json x
+map --output=json x
create -f qcow2 x 1G
+check x
+info x
create -f qcow2 -o preallocation=full x 3M
+info x
+map --output=json x
create -f qcow2 -o preallocation=metadata,refcount_bits=64 x 3M
+info x

check
check nofile
check -r foo a.qcow2
check a.raw
check --output=json a.raw
check base.qcow2
check --output=json base.qcow2
check packed.qcow2
check --output=json packed.qcow2
check ov.qcow2
check -r all base.qcow2
check -q base.qcow2

map
map base.qcow2
map --output=json base.qcow2
map ov.qcow2
map --output=json ov.qcow2
map --output=json packed.qcow2
map a.raw
map --output=json a.raw
map --start-offset=100k --max-length=1M --output=json ov.qcow2
map --start-offset=abc ov.qcow2
map --start-offset=8M ov.qcow2
map --max-length=0 ov.qcow2

measure
measure -O qcow2
measure -O qcow2 --size 1G a.raw
measure --size foo
measure -O foo --size 1G
measure -O raw --size 1000
measure -O qcow2 --size 1G
measure -O qcow2 --size 64T
measure --output=json -O qcow2 --size 1G
measure -O qcow2 -o cluster_size=512 --size 1T
measure -O qcow2 -o cluster_size=4k,refcount_bits=1 --size 1T
measure -O qcow2 -o cluster_size=2M,extended_l2=on,refcount_bits=64 --size 1T
measure -O qcow2 -o cluster_size=1000 --size 1T
measure -O qcow2 -o preallocation=full base.qcow2
measure -O qcow2 -o preallocation=foo --size 1G
measure -O qcow2 -o preallocation=metadata base.qcow2
measure -O qcow2 -o refcount_bits=3 --size 1G
measure -O qcow2 ov.qcow2
measure -O qcow2 a.raw
measure --output=json -O qcow2 ov.qcow2
measure -O raw ov.qcow2
measure -O qcow2 --size 10M -l foo

compare base.qcow2
compare a.raw nofile
compare -f foo base.qcow2 ov.qcow2
compare base.qcow2 ov.qcow2
compare base.qcow2 packed.qcow2
compare -s base.qcow2 packed.qcow2
compare -q base.qcow2 ov.qcow2
compare base.raw base.qcow2
compare base.raw longer.raw
compare -s base.raw longer.raw
compare base.qcow2 longer.raw

resize
resize a.raw
resize -f raw a.raw abc
resize -f raw a.raw +
resize -f raw a.raw 1k
resize -f raw --shrink a.raw -1G
resize -f raw --preallocation=foo a.raw 4M
resize -f raw --preallocation=metadata a.raw 50M
resize -f raw a.raw 2M
+info a.raw
resize -q -f raw a.raw +1M
+info a.raw
resize a.raw 3M
resize nofile 4M
resize base.qcow2 1M
resize --shrink base.qcow2 1M
+info base.qcow2
+check base.qcow2
+compare base.qcow2 base.raw
resize base.qcow2 +0
resize base.qcow2 9M
+map --output=json base.qcow2
+check base.qcow2
resize ov.qcow2 9M
+map --output=json ov.qcow2
resize --preallocation=metadata base.qcow2 5M
+check base.qcow2
resize --shrink --preallocation=metadata base.qcow2 1M

snapshot
snapshot -l
snapshot base.qcow2
snapshot -l base.qcow2
snapshot -l a.raw
snapshot -c foo -d bar base.qcow2
snapshot -c foo a.raw
snapshot -a foo base.qcow2
snapshot -d foo base.qcow2
snapshot -c foo base.qcow2
~check base.qcow2
+snapshot -c bar base.qcow2
+snapshot -d foo base.qcow2
~check base.qcow2
+snapshot -a bar base.qcow2
~check base.qcow2
+compare base.qcow2 base.raw
+snapshot -d bar base.qcow2
~check base.qcow2

convert
convert a.raw
convert -f foo a.raw x
convert -O foo a.raw x
convert -c a.raw x
convert -f raw -O qcow2 a.raw /nodir/x
convert -f raw -O qcow2 -o foo=1 a.raw x
convert -f raw -O qcow2 -o cluster_size=1000 a.raw x
convert -n -f raw -O qcow2 a.raw nofile.qcow2
convert -n -O qcow2 a.qcow2 base.qcow2
convert -m 0 a.raw x
convert -m 17 a.raw x
convert -S 100 a.raw x
convert -S abc a.raw x
convert -r abc a.raw x
convert -C -S 4k a.raw x
convert -c -C -O qcow2 a.raw x
convert -B a.qcow2 -O qcow2 a.raw x
convert -B a.qcow2 -F qcow2 -O raw a.raw x
convert -t foo a.raw x
convert -T foo a.raw x
convert -l foo a.raw x
convert -l foo base.qcow2 x
convert --target-is-zero a.raw x
convert -n -o foo=1 a.raw x
convert --bitmaps a.raw x
convert -O qcow2 a.raw a.raw
+info a.raw
convert -O qcow2 base.qcow2 x
+info x
+check x
+map --output=json x
convert -c -O qcow2 base.qcow2 x
+info --output=json x
+check x
convert -O qcow2 ov.qcow2 x
+check --output=json x
+map --output=json x
convert -O qcow2 -B base.qcow2 -F qcow2 ov.qcow2 x
+info x
+map --output=json x
convert -S 0 -O qcow2 base.qcow2 x
+map --output=json x
convert -f raw a.raw a.raw longer.raw x
+info x

bitmap
bitmap --add
bitmap bm.qcow2 b0
bitmap --add bm.qcow2
bitmap --add bm.qcow2 b0
bitmap --add bm.qcow2 b0 b1
bitmap --add -g 3k bm.qcow2 new
bitmap --add -g 256 bm.qcow2 new
bitmap --add -g 4G bm.qcow2 new
bitmap --add -g abc bm.qcow2 new
bitmap --add bm.qcow2 ""
bitmap --add nofile b
bitmap --foo bm.qcow2 b
bitmap -g 64k --clear bm.qcow2 b0
bitmap --remove bm.qcow2 nox
bitmap --clear bm.qcow2 nox
bitmap --enable bm.qcow2 nox
bitmap --disable bm.qcow2 nox
bitmap --merge nox bm.qcow2 b0
bitmap --merge b0 bm.qcow2 nox
bitmap --add --remove bm.qcow2 b0
bitmap -b bm2.qcow2 --clear bm.qcow2 b0
bitmap -F qcow2 --clear bm.qcow2 b0
bitmap -b bm2.qcow2 --merge y bm.qcow2 b0
bitmap -b bm2.qcow2 -F foo --merge y bm.qcow2 b0
bitmap -b bm.qcow2 --merge b1 bm.qcow2 b0
bitmap --clear a.raw b0
bitmap -f qcow2 --image-opts --clear bm.qcow2 b0
bitmap --image-opts --clear driver=qcow2,file.filename=bm.qcow2 b0
bitmap --add --enable bm.qcow2 new
+info --output=json broken.qcow2
+bitmap --merge b0 bm.qcow2 new
+bitmap --disable bm.qcow2 new
+bitmap --clear --enable bm.qcow2 b1
+bitmap --remove bm.qcow2 b0
+measure -O qcow2 bm.qcow2
+measure -O qcow2 -o cluster_size=4k --output=json bm.qcow2
+convert --bitmaps -O qcow2 bm.qcow2 x
+check x
+resize x 30M
+check x
convert --bitmaps -O qcow2 a.raw x
convert --bitmaps -O raw bm.qcow2 x
convert --bitmaps -O qcow2 -o compat=0.10 bm.qcow2 x
convert --bitmaps -n -O qcow2 bm.qcow2 old.qcow2
convert --bitmaps -O qcow2 old.qcow2 x
convert -c -O qcow2 -o preallocation=metadata base.qcow2 x
convert -c -O qcow2 -o preallocation=off base.qcow2 x
convert -c -O qcow2 -o preallocation=foo base.qcow2 x
convert --bitmaps -O qcow2 bm.qcow2 bm2.qcow2 x
convert --skip-broken-bitmaps -O qcow2 bm.qcow2 x
convert --bitmaps -O qcow2 broken.qcow2 x
convert --bitmaps --skip-broken-bitmaps -O qcow2 broken.qcow2 x
+info --output=json broken.qcow2
measure -O qcow2 broken.qcow2
info broken.qcow2
bitmap --clear broken.qcow2 y
bitmap --enable broken.qcow2 y
bitmap --merge y broken.qcow2 y
resize broken.qcow2 50M
bitmap --remove broken.qcow2 y
+check broken.qcow2

amend
amend a.qcow2
amend -o size=1M
amend -o compat=1.1 a.qcow2 ov.qcow2
amend -o size=1M a.raw
amend -f raw -o help
amend -f foo -o help
amend -o help
amend -o size=1M nofile
amend -o size=2M x.vmdk
amend -o help x.vmdk
amend -t foo -o size=1M a.qcow2
amend -o , a.qcow2
amend -o size=abc a.qcow2
amend -o nosize a.qcow2
amend -o compat a.qcow2
amend -o foo=1 a.qcow2
amend -o cluster_size=4k a.qcow2
amend -o extended_l2=on a.qcow2
amend -o lazy_refcounts=foo a.qcow2
amend -o refcount_bits=3 a.qcow2
amend -o backing_file=x,backing_fmt=raw a.qcow2
amend -o backing_fmt=raw a.qcow2
amend -o backing_file=base.qcow2 ov.qcow2
amend -o data_file=x a.qcow2
amend -o data_file_raw=on a.qcow2
amend -o compat=0.10 data.qcow2
amend -o compat=0.10 grown.qcow2
amend -o compat=0.10 lazy.qcow2
amend -o lazy_refcounts=on old.qcow2
amend -o refcount_bits=8 old.qcow2
amend -o refcount_bits=1 snap.qcow2
+check snap.qcow2
amend --image-opts -f qcow2 -o size=1M a.qcow2
amend -f raw -o refcount_bits=1 a.qcow2
amend -o size=1M a.qcow2
+map --output=json a.qcow2
amend -q -o lazy_refcounts=on a.qcow2
+amend --force -o size=220M a.qcow2
+info a.qcow2
amend -o data_file=d.raw,data_file_raw=off data.qcow2
+info data.qcow2
amend -o compat=1.1 old.qcow2
+info --output=json old.qcow2
amend -o refcount_bits=64 base.qcow2
+compare base.qcow2 base.raw
+amend -o refcount_bits=1 base.qcow2
+compare base.qcow2 base.raw
amend -o compat=0.10 ov.qcow2
+compare ov.qcow2 base.qcow2
+map --output=json base.qcow2
amend -o compat=0.10 base.qcow2
+map --output=json base.qcow2
+compare base.qcow2 base.raw
+check base.qcow2
amend -o compat=0.10 snap.qcow2
+snapshot -a a snap.qcow2
amend -o compat=0.10,lazy_refcounts=off,refcount_bits=16 lazy.qcow2
+check lazy.qcow2

bench
bench a.qcow2 ov.qcow2
bench nofile
bench -c abc a.qcow2
bench -d abc a.qcow2
bench -s abc a.qcow2
bench -S abc a.qcow2
bench -o -1 a.qcow2
bench -s 2G a.qcow2
bench --flush-interval=abc a.qcow2
bench -w --flush-interval=2 -d 4 -c 10 a.qcow2
bench --flush-interval=5 -c 2 a.qcow2
bench --pattern=300 -c 2 a.qcow2
bench -i foo a.qcow2
bench -n a.qcow2
bench -t foo a.qcow2
bench -f foo a.qcow2
bench -U -w a.qcow2
bench -c 0 a.qcow2
bench -c 10 -d 4 -s 8k -S 16k -o 256k -w --pattern=7 -f raw a.raw
+map --output=json a.raw
+compare a.raw base.raw
bench -c 100 -d 8 -w --flush-interval=10 --pattern=3 ov.qcow2
+check ov.qcow2
bench -c 100 -d 8 -w --flush-interval=10 --no-drain ov.qcow2
bench -c 5 -q a.raw

info null-co://
map --output=json --image-opts driver=null-co,size=10M,read-zeroes=on
info --image-opts driver=raw,file.driver=null-co,file.foo=1
convert -n -O raw a.raw null-co://
bench -c 10 null-co://

rebase
rebase ov.qcow2
rebase -b base.qcow2 -F foo ov.qcow2
rebase -b nofile -F raw ov.qcow2
rebase -f raw -b x -F raw a.raw
rebase -u -b nofile -F qcow2 ov.qcow2
+info ov.qcow2
rebase -b "" ov.qcow2
+info ov.qcow2
+check ov.qcow2
rebase -b a.qcow2 -F qcow2 ov.qcow2
+map --output=json ov.qcow2
+check ov.qcow2

commit
commit base.qcow2
commit -b foo ov.qcow2
commit ov.qcow2
+check ov.qcow2
+map --output=json ov.qcow2
+check base.qcow2
commit -d ov.qcow2
+map --output=json ov.qcow2

dd
dd if=a.raw
dd bs=0 if=a.raw of=x
dd foo=1 if=a.raw of=x
dd -f raw -O foo if=a.raw of=x
dd bs=abc if=a.raw of=x
dd skip=1000000 if=a.raw of=x
dd -f raw -O qcow2 bs=16k count=5 skip=2 if=a.raw of=x
+info x
+map --output=json x

check -T foo base.qcow2
check -U base.qcow2
commit -r abc ov.qcow2
compare -T foo base.qcow2 base.raw
convert --salvage -C -O raw base.qcow2 x
convert -n --target-image-opts -O raw base.qcow2 driver=raw,file.filename=longer.raw
convert -n --target-image-opts base.qcow2 driver=raw,file.filename=longer.raw
convert -l snapshot.foo=9 -O raw snap.qcow2 x
convert -l snapshot.id=1 -O raw snap.qcow2 x
create -f qcow2 -u -b base.qcow2 x 1M
create -f vhdx -o log_size=5G x 1M
resize base.qcow2 0
resize --shrink base.qcow2 0
snapshot -d 1 snap.qcow2
"""

# What differs from run to run.
TIME = re.compile(r"Run completed in [0-9.]+ seconds")


def mark_in_use(path):
    """Sets that flag of the first bitmap, as a killed process leaves it."""
    with open(path, "r+b") as image:
        head = image.read(65536)
        extension = head.index(bytes.fromhex("23852875"))
        directory = int.from_bytes(head[extension + 24:extension + 32], "big")
        image.seek(directory + 12)
        image.write(bytes([0, 0, 0, 3]))


class Twins:
    """Two folders with the same files, one for each program."""

    def __init__(self, suite):
        self.suite = suite
        os.makedirs("fixtures")
        for line in FIXTURES.strip().splitlines():
            subprocess.run(shlex.split(line), cwd="fixtures", check=True, capture_output=True)
        mark_in_use("fixtures/broken.qcow2")
        os.makedirs("bin")
        os.symlink(suite.rhea_img, "bin/qemu-img")
        self.programs = {"theirs": shutil.which("qemu-img"), "ours": os.path.abspath("bin/qemu-img")}

    def fresh(self):
        for name in self.programs:
            shutil.rmtree(name, ignore_errors=True)
            shutil.copytree("fixtures", name)

    def run(self, words):
        out = {}
        for name, program in self.programs.items():
            done = subprocess.run([program, *words], cwd=name, capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "TZ": "UTC", "LC_ALL": "C"})
            stdout = TIME.sub("Run completed in TIME seconds", done.stdout)
            out[name] = f"{stdout}-- stderr\n{done.stderr}-- exit {done.returncode}\n"
        return out


def compare(suite, twins, line):
    os.chdir(twins.home)
    if not line.startswith(("+", "~")):
        twins.fresh()
    words = shlex.split(line.lstrip("+~"))
    out = twins.run(words)
    if line.startswith("~"):
        out = {name: re.sub(r"Image end offset: \d+\n", "", text) for name, text in out.items()}
    assert out["ours"] == out["theirs"], f"qemu-img {line}\n--- qemu-img:\n{out['theirs']}--- rhea-img:\n{out['ours']}"


def signals(suite):
    """SIGUSR1 shows how far a command is; SIGTERM ends it and takes the target away, not the source."""
    with open("in.raw", "wb") as file:
        file.write(os.urandom(8 << 20))
    command = [suite.rhea_img, "convert", "-r", "4M", "-f", "raw", "-O", "qcow2", "in.raw", "out.qcow2"]
    work = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(0.7)
    work.send_signal(signal.SIGUSR1)
    line = work.stderr.readline()
    assert re.fullmatch(r" {4}\([0-9.]+/100%\)\n", line), line
    work.send_signal(signal.SIGTERM)
    assert work.wait(timeout=60) == -signal.SIGTERM
    assert not os.path.exists("out.qcow2") and os.path.getsize("in.raw") == 8 << 20


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    suite.case("commands", all_of_them)
    suite.case("signals", signals)
    sys.exit(1 if suite.failed else 0)


def all_of_them(suite):
    twins = Twins(suite)
    twins.home = os.getcwd()
    wrong = 0
    for line in COMMANDS.strip().splitlines():
        if not line.strip():
            continue
        try:
            compare(suite, twins, line)
        except AssertionError as error:
            wrong += 1
            print(error, flush=True)
    assert wrong == 0, f"{wrong} command lines differ"


if __name__ == "__main__":
    main()
