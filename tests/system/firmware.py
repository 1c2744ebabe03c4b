"""Tiny firmware images: real-mode assembly at F000:0000, entered from the reset vector."""
import pathlib
import subprocess

HEAD = """
.code16
.globl _start
_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
"""
TAIL = """
.org 0xfff0
    ljmp $0xf000, $_start
.org 0x10000
"""
# Writes AL to the first serial port.
PUTC = """
putc:
    push %ax
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    pop %ax
    mov $0x3f8, %dx
    out %al, %dx
    ret
"""
STOP = "\nstop:\n    hlt\n    jmp stop\n"


def build(folder: pathlib.Path, name: str, body: str) -> str:
    source, obj, image = (folder / f"{name}.{end}" for end in ("s", "o", "bin"))
    source.write_text(HEAD + body + STOP + PUTC + TAIL)
    subprocess.run(["as", "--32", "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0", "--oformat", "binary", "-o", image, obj], check=True)
    return str(image)
