# A boot sector (disk, floppy, CD or network) that prints the text at its offset 0x100 on the first serial port. If the
# text ends in '!', the machine is then reset; if in '?', the next boot device is asked for (INT 18h).
.code16
.globl _start
_start:
  ljmp $0, $begin
begin:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $0x7c00, %sp
  cld
  mov $0x7d00, %si
print:
  lodsb
  test %al, %al
  jz printed
  mov %al, %bl
  mov $0x3fd, %dx
wait:
  in %dx, %al
  test $0x20, %al
  jz wait
  mov %bl, %al
  mov $0x3f8, %dx
  out %al, %dx
  jmp print
printed:
  cmp $'!', %bl
  je restart
  cmp $'?', %bl
  je next
stop:
  sti
  hlt
  jmp stop
next:
  int $0x18
restart:
  mov $0xfe, %al
  out %al, $0x64
  jmp stop
.org 510
.word 0xaa55
