# A boot sector that reads the eight sectors behind it with INT 13h AH=42h and writes the text that it finds there to
# the first serial port.
.code16
.globl _start
_start:
  ljmp $0, $begin
begin:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov $0x7c00, %sp
  mov $packet, %si
  mov $0x42, %ah
  int $0x13
  mov $failed, %si
  jc print
  mov $0x8000, %si
print:
  lodsb
  test %al, %al
  jz stop
  mov %al, %bl
wait:
  mov $0x3fd, %dx
  in %dx, %al
  test $0x20, %al
  jz wait
  mov %bl, %al
  mov $0x3f8, %dx
  out %al, %dx
  jmp print
stop:
  hlt
  jmp stop
failed:
  .asciz "RHEA-READ-FAILED\n"
.align 4
packet:  # size, sectors, buffer (offset, segment), first sector
  .byte 16, 0
  .word 8, 0x8000, 0
  .quad 1
.org 510
.word 0xaa55
