#!/usr/bin/env python3
"""Encrypted images: LUKS volumes and encrypted qcow2, both ways with qemu-img and, where it is there, cryptsetup.

encryption.py BLOCK_TOOL RHEA_IMG
"""
import os
import shutil
import sys

from common import MIB, Suite, make_raw, same

SIZE = 5 * MIB + 512 * 3
SECRETS = []
for name, word in (("s", "abc"), ("n", "another word"), ("w", "wrong")):
    SECRETS += ["--object", f"secret,id={name},data={word}"]

# Format, its options.
KINDS = [
    ("luks", "iter-time=10"),
    ("luks", "iter-time=10,cipher-alg=aes-128,hash-alg=sha1"),
    ("luks", "iter-time=10,cipher-alg=aes-192"),
    ("luks", "iter-time=10,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha512"),
    ("luks", "iter-time=10,cipher-mode=cbc,ivgen-alg=plain,hash-alg=ripemd160"),
    ("qcow2", "encrypt.format=luks,encrypt.iter-time=10"),
    ("qcow2", "encrypt.format=luks,encrypt.iter-time=10,cluster_size=512"),
    ("qcow2", "encrypt.format=luks,encrypt.iter-time=10,extended_l2=on"),
    ("qcow2", "encrypt.format=luks,encrypt.iter-time=10,preallocation=full"),
    ("qcow2", "encrypt.format=aes"),
]


def prefix(fmt):
    return "encrypt." if fmt == "qcow2" else ""


def with_secret(fmt, options, secret="s"):
    return f"{options},{prefix(fmt)}key-secret={secret}"


def named(fmt, path, secret="s"):
    return f"driver={fmt},file.filename={path},{prefix(fmt)}key-secret={secret}"


def qemu_img(suite, command, *words, check=True):
    """Its measuring of time fails now and then when it takes too little: once more."""
    for _ in range(20):
        done = suite.run("qemu-img", command, *SECRETS, *words, check=False)
        if "Unable to get accurate CPU usage" not in done.stderr:
            break
    if check:
        assert done.returncode == 0, done.stderr
    return done


def rhea_img(suite, command, *words, check=True):
    return suite.run(suite.rhea_img, command, *SECRETS, *words, check=check)


def verify(suite, fmt, image, raw):
    qemu_img(suite, "convert", "--image-opts", named(fmt, image), "-O", "raw", "their.raw")
    same("their.raw", raw)
    rhea_img(suite, "convert", "--image-opts", named(fmt, image), "-O", "raw", "our.raw")
    same("our.raw", raw)
    if fmt == "qcow2":
        qemu_img(suite, "check", "--image-opts", named(fmt, image))
        rhea_img(suite, "check", "--image-opts", named(fmt, image))


def both_ways(suite, fmt, options):
    make_raw("in.raw", SIZE, 5)
    rhea_img(suite, "convert", "-O", fmt, "-o", with_secret(fmt, options), "in.raw", "x")
    verify(suite, fmt, "x", "in.raw")
    qemu_img(suite, "convert", "-O", fmt, "-o", with_secret(fmt, options), "in.raw", "y")
    verify(suite, fmt, "y", "in.raw")
    their, our = (suite.run(program, "info", "--output=json", "y").stdout for program in ("qemu-img", suite.rhea_img))
    assert their == our, their + our
    their, our = (suite.run(program, "info", "y").stdout for program in ("qemu-img", suite.rhea_img))
    assert their == our, their + our


def mixed_writes(suite, fmt, options):
    """Writes of any alignment by both in turn."""
    make_raw("in.raw", SIZE, 6)
    rhea_img(suite, "convert", "-O", fmt, "-o", with_secret(fmt, options), "in.raw", "x")
    steps = [(0, 512, 1), (MIB - 1000, 3000, 2), (3 * MIB + 7, MIB, 3), (SIZE - 1024, 1024, 4), (65536, 65536, 5)]
    for number, (offset, length, byte) in enumerate(steps):
        command = f"write -P {byte} {offset} {length}"
        if number % 2 == 0:
            rhea_img(suite, "bench", "-q", "-w", "-c", "1", "-d", "1", "-o", offset, "-s", length, "--pattern", byte,
                     "--image-opts", named(fmt, "x"))
        else:
            suite.run("qemu-io", *SECRETS, "--image-opts", "-c", command, named(fmt, "x"))
        suite.run("qemu-io", "-f", "raw", "-c", command, "in.raw")
    verify(suite, fmt, "x", "in.raw")


def wrong_words(suite, fmt, options):
    rhea_img(suite, "create", "-q", "-f", fmt, "-o", with_secret(fmt, options), "x", SIZE)
    cases = [("convert", "-O", "raw", "x", "y"), ("convert", "--image-opts", named(fmt, "x", "missing"), "-O", "raw", "y")]
    if "aes" not in options or fmt == "luks":
        cases.append(("convert", "--image-opts", named(fmt, "x", "w"), "-O", "raw", "y"))
    cases += [("create", "-f", fmt, "-o", options, "z", "1M"), ("measure", "-O", fmt, "-o", options, "--size", "1M")]
    if fmt == "qcow2" and "prealloc" not in options:
        cases.append(("convert", "-c", "-O", fmt, "-o", with_secret(fmt, options), "x", "y"))
    for words in cases:
        if words[0] == "measure" and "encrypt.format=aes" in options:
            continue
        their, our = qemu_img(suite, *words, check=False), rhea_img(suite, *words, check=False)
        assert their.returncode == our.returncode == 1, f"{words}: {their.returncode} {our.returncode} {our.stderr}"
        their_text, our_text = their.stderr.split(": ", 1)[1], our.stderr.split(": ", 1)[1]
        assert their_text == our_text, f"{words}: {their_text}{our_text}"


def measured(suite, fmt, options):
    for size in (0, MIB, SIZE, 3 << 30):
        words = ("-O", fmt, "-o", with_secret(fmt, options), "--size", size)
        their, our = qemu_img(suite, "measure", *words).stdout, rhea_img(suite, "measure", *words).stdout
        assert their == our, their + our


def key_slots(suite, fmt, options):
    if "format=aes" in options:
        return
    p = prefix(fmt)
    make_raw("in.raw", SIZE, 7)
    rhea_img(suite, "convert", "-O", fmt, "-o", with_secret(fmt, options), "in.raw", "x")

    def amend(program, words, secret="s", more=()):
        words = ",".join(p + word for word in words.split(","))
        return program(suite, "amend", *more, "-o", words, "--image-opts", named(fmt, "x", secret), check=False)

    for words in ("state=active", "new-secret=n", "state=active,new-secret=n,keyslot=0", "state=active,new-secret=n,keyslot=9",
                  "state=inactive", "state=inactive,old-secret=w", "state=inactive,keyslot=0", "state=inactive,keyslot=3",
                  "state=inactive,old-secret=s", "state=foo,old-secret=s", "state=active,new-secret=n,old-secret=w",
                  "state=inactive,new-secret=n", "state=inactive,iter-time=10,old-secret=s", "state=active,new-secret=missing"):
        their, our = amend(qemu_img, words), amend(rhea_img, words)
        assert their.returncode == our.returncode == 1, f"{words}: {their.stderr}{our.stderr}"
        assert their.stderr.split(": ", 1)[1] == our.stderr.split(": ", 1)[1], f"{words}: {their.stderr}{our.stderr}"
    for program, other in ((rhea_img, qemu_img), (qemu_img, rhea_img)):
        done = amend(program, "state=active,new-secret=n,iter-time=10")
        assert done.returncode == 0, done.stderr
        other(suite, "convert", "--image-opts", named(fmt, "x", "n"), "-O", "raw", "their.raw")
        same("their.raw", "in.raw")
        done = amend(other, "state=inactive,old-secret=s", "n")
        assert done.returncode == 0, done.stderr
        for each in (program, other):
            refused = each(suite, "convert", "--image-opts", named(fmt, "x"), "-O", "raw", "y", check=False)
            assert "Invalid password" in refused.stderr, refused.stderr
        done = amend(other, "state=active,new-secret=s,iter-time=10,keyslot=5", "n")
        assert done.returncode == 0, done.stderr
        done = amend(program, "state=inactive,old-secret=n")
        assert done.returncode == 0, done.stderr
        verify(suite, fmt, "x", "in.raw")
    done = amend(rhea_img, "state=inactive,keyslot=5", more=["--force"])
    assert done.returncode == 0, done.stderr
    refused = rhea_img(suite, "convert", "--image-opts", named(fmt, "x"), "-O", "raw", "y", check=False)
    assert "Invalid password" in refused.stderr, refused.stderr


def snapshots_and_backing(suite, _fmt, _options):
    make_raw("in.raw", SIZE, 8)
    options = "encrypt.format=luks,encrypt.iter-time=10,encrypt.key-secret=s"
    rhea_img(suite, "convert", "-O", "qcow2", "-o", options, "in.raw", "x")
    rhea_img(suite, "snapshot", "-c", "one", "--image-opts", named("qcow2", "x"))
    suite.run("cp", "in.raw", "now.raw")
    for offset, length, byte in ((0, 4096, 9), (MIB + 100, 200, 8)):
        suite.run("qemu-io", *SECRETS, "--image-opts", "-c", f"write -P {byte} {offset} {length}", named("qcow2", "x"))
        suite.run("qemu-io", "-f", "raw", "-c", f"write -P {byte} {offset} {length}", "now.raw")
    verify(suite, "qcow2", "x", "now.raw")
    rhea_img(suite, "snapshot", "-a", "one", "--image-opts", named("qcow2", "x"))
    verify(suite, "qcow2", "x", "in.raw")
    # An encrypted image over a plain one.
    suite.run(suite.rhea_img, "convert", "-O", "qcow2", "in.raw", "base")
    rhea_img(suite, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "-o", options, "over")
    suite.run("cp", "in.raw", "now.raw")
    rhea_img(suite, "bench", "-q", "-w", "-c", "1", "-d", "1", "-o", 70000, "-s", 777, "--pattern", 3, "--image-opts",
             named("qcow2", "over"))
    suite.run("qemu-io", "-f", "raw", "-c", "write -P 3 70000 777", "now.raw")
    verify(suite, "qcow2", "over", "now.raw")


def cryptsetup(suite, fmt, options):
    """Opened without device mapper: the tool tells whether a password fits and what the header says."""
    if fmt != "luks" or not shutil.which("cryptsetup"):
        return
    rhea_img(suite, "create", "-q", "-f", "luks", "-o", with_secret(fmt, options), "x", SIZE)
    with open("key", "w", encoding="ascii") as key:
        key.write("abc")
    suite.run("cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "key", "x")
    suite.run("cryptsetup", "luksDump", "x")
    os.truncate("x", 0)
    os.truncate("x", 8 * MIB)
    suite.run("cryptsetup", "-q", "luksFormat", "--type", "luks1", "--iter-time", "10", "--key-file", "key", "x")
    rhea_img(suite, "bench", "-q", "-w", "-c", "4", "-s", "65536", "--pattern", 7, "--image-opts", named("luks", "x"))
    suite.run("qemu-io", *SECRETS, "--image-opts", "-c", "read -P 7 0 256k", named("luks", "x"))
    their, our = (suite.run(program, "info", "x").stdout for program in ("qemu-img", suite.rhea_img))
    assert their == our, their + our


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    for fmt, options in KINDS:
        functions = [both_ways, mixed_writes]
        # The other's commands that make keys take seconds each.
        if options in ("iter-time=10", "encrypt.format=luks,encrypt.iter-time=10"):
            functions += [wrong_words, measured, key_slots, cryptsetup]
        for function in functions:
            suite.case(f"encryption/{fmt}/{options}/{function.__name__}", function, fmt, options)
    suite.case("encryption/aes/wrong_words", wrong_words, "qcow2", "encrypt.format=aes")
    suite.case("encryption/snapshots_and_backing", snapshots_and_backing, "qcow2", "")
    sys.exit(1 if suite.failed else 0)


main()
