# A 16-bit guest for a floppy: a boot sector that loads the rest track by track, and a program that uses the machine as
# DOS programs did: segments, BIOS services, interrupt vectors of its own, decimal arithmetic, the interrupt controllers,
# the 8254, DMA by the BIOS, text memory, unreal mode. Each part prints "name ok" or "name BAD" on the first serial port;
# at the end comes REAL-MODE-DONE, and the machine is reset by the keyboard controller.
.code16
.set kSectors, 20                # of the program behind the boot sector
.set kHeads, 2
.set kPerTrack, 18
.set kProgram, 0x1000            # its segment: linear 0x10000
.globl _start
_start:
  ljmp $0, $begin
begin:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $0x7c00, %sp
  mov %dl, drive
  # Sector by sector, by cylinder, head and sector: enough to cross from head 0 to head 1.
  mov $kProgram, %ax
  mov %ax, %es
  xor %bx, %bx
  mov $1, %si                    # LBA
load:
  mov %si, %ax
  xor %dx, %dx
  mov $kPerTrack, %cx
  div %cx
  mov %dl, %cl
  inc %cl                        # sector
  xor %dx, %dx
  mov $kHeads, %di
  div %di
  mov %al, %ch                   # cylinder
  mov %dl, %dh                   # head
  mov drive, %dl
  mov $0x0201, %ax
  int $0x13
  jc load                        # a floppy motor may need time
  add $512, %bx
  inc %si
  cmp $kSectors + 1, %si
  jne load
  ljmp $kProgram, $(program - 0x7e00)
drive:
  .byte 0
.org 510
.word 0xaa55

# ---- linear 0x10000: offsets are counted from here ----
.macro result name
  mov $(9f - 0x7e00), %si
  call verdict
  jmp 8f
9: .asciz "\name"
8:
.endm
# Sets carry (the verdict's "BAD") unless the two are equal.
.macro expect a b
  cmp \a, \b
  je 7f
  movb $1, %cs:(bad - 0x7e00)
7:
.endm
.macro expect_carry
  jc 7f
  movb $1, %cs:(bad - 0x7e00)
7:
.endm
.macro expect_no_carry
  jnc 7f
  movb $1, %cs:(bad - 0x7e00)
7:
.endm

program:
  mov %cs, %ax
  mov %ax, %ds
  mov %ax, %es
  cli
  mov %ax, %ss
  mov $0xfff0, %sp
  sti
  cld

  # Decimal arithmetic.
  mov $0x0938, %ax
  add $0x45, %al
  daa
  expect $0x83, %al
  sub $0x47, %al
  das
  expect $0x36, %al
  mov $0x0009, %ax
  add $8, %al
  aaa
  expect $0x0107, %ax
  mov $0x0105, %ax
  sub $9, %al
  aas
  expect $0x0006, %ax
  mov $63, %al
  aam
  expect $0x0603, %ax
  aad
  expect $63, %al
  result decimal

  # Segments: 0x2000:0x10 is 0x1f00:0x1010; offsets wrap at 64 KiB, A20 is open.
  mov $0x2000, %ax
  mov %ax, %es
  mov $0x1f00, %ax
  mov %ax, %fs
  movw $0x1234, %es:0x10
  mov %fs:0x1010, %ax
  expect $0x1234, %ax
  movw $0xffff, %di
  mov $0x5a, %al
  movb $0, %es:0
  stosb                          # DI wraps to 0
  expect $0, %di
  mov $0xa5, %al
  stosb
  cmpb $0xa5, %es:0
  je 1f
  movb $1, %cs:(bad - 0x7e00)
1:
  mov $0xffff, %ax
  mov %ax, %gs
  movb $0x77, %gs:0x8010         # 1 MiB + 0x8000
  xor %ax, %ax
  mov %ax, %fs
  mov %fs:0x8000, %al
  movb $0x11, %fs:0x8000
  cmpb $0x77, %gs:0x8010
  je 1f
  movb $1, %cs:(bad - 0x7e00)
1:
  mov %al, %fs:0x8000
  push %cs
  pop %es
  result segments

  # Strings with prefixes, LOOP, XLAT, BOUND, ENTER, far calls through memory, RETF that pops.
  mov $(text - 0x7e00), %si
  mov $(room - 0x7e00), %di
  mov $5, %cx
  rep movsb
  mov $(text - 0x7e00), %si
  mov $(room - 0x7e00), %di
  mov $6, %cx
  repe cmpsb
  expect $0, %cx
  mov $(room - 0x7e00), %di
  mov $'l', %al
  mov $5, %cx
  repne scasb
  expect $2, %cx
  mov $(text - 0x7e00), %bx
  mov $4, %al
  xlat
  expect $'o', %al
  push $0x1111
  push $0x2222
  lcall *(far_pointer - 0x7e00)
  expect $0x3333, %ax
  enter $16, $1
  leave
  result strings

  # Interrupt vectors: division by zero comes with the address of the DIV, INT 0x60 to us, the timer 5 times.
  xor %ax, %ax
  mov %ax, %fs
  cli
  mov %fs:0, %eax
  mov %eax, (old_divide - 0x7e00)
  movw $(on_divide - 0x7e00), %fs:0
  mov %cs, %fs:2
  movw $(on_60 - 0x7e00), %fs:(0x60 * 4)
  mov %cs, %fs:(0x60 * 4 + 2)
  mov %fs:(0x1c * 4), %eax
  mov %eax, (old_tick - 0x7e00)
  movw $(on_tick - 0x7e00), %fs:(0x1c * 4)
  mov %cs, %fs:(0x1c * 4 + 2)
  sti
  xor %bx, %bx
  mov $100, %ax
the_divide:
  div %bl                        # two bytes; the handler steps over it
  mov (divides - 0x7e00), %ax
  expect $1, %ax
  mov $0x4321, %ax
  int $0x60
  expect $0x1234, %ax
  result vectors
1:
  hlt
  cmpw $5, (ticks - 0x7e00)
  jb 1b
  cli
  mov (old_divide - 0x7e00), %eax
  mov %eax, %fs:0
  mov (old_tick - 0x7e00), %eax
  mov %eax, %fs:(0x1c * 4)
  sti
  result ticks

  # The 8254 counts down, read through its latch; its counter 2 with the gate from port 0x61.
  mov $0xb0, %al                 # counter 2, mode 0
  out %al, $0x43
  in $0x61, %al
  and $0xfc, %al
  or $1, %al
  out %al, $0x61
  mov $0xff, %al
  out %al, $0x42
  out %al, $0x42
  mov $0x80, %al
  out %al, $0x43
  in $0x42, %al
  mov %al, %bl
  in $0x42, %al
  mov %al, %bh
  mov $2000, %cx
1: loop 1b
  mov $0x80, %al
  out %al, $0x43
  in $0x42, %al
  mov %al, %dl
  in $0x42, %al
  mov %al, %dh
  cmp %bx, %dx
  jb 1f
  movb $1, (bad - 0x7e00)
1:
  result 8254

  # Interrupts are masked: the time of day stands still, then goes on.
  in $0x21, %al
  push %ax
  or $1, %al
  out %al, $0x21
  mov %fs:0x46c, %ebx
  mov $0xffff, %cx
1: in $0x80, %al
  loop 1b
  expect %fs:0x46c, %ebx
  pop %ax
  out %al, $0x21
1: hlt
  cmp %fs:0x46c, %ebx
  je 1b
  result mask

  # BIOS: memory size, its map, the clock, extended memory moved and back.
  int $0x12
  cmp $600, %ax
  jae 1f
  movb $1, (bad - 0x7e00)
1:
  xor %ebx, %ebx
  xor %bp, %bp
1:
  mov $0xe820, %eax
  mov $0x534d4150, %edx
  mov $20, %ecx
  mov $(room - 0x7e00), %di
  int $0x15
  jc 2f
  expect $0x534d4150, %eax
  inc %bp
  test %ebx, %ebx
  jnz 1b
2:
  cmp $4, %bp
  jae 1f
  movb $1, (bad - 0x7e00)
1:
  mov $4, %ah                    # the date, in decimal digits
  int $0x1a
  expect_no_carry
  cmp $0x20, %ch
  je 1f
  movb $1, (bad - 0x7e00)
1:
  movw $1, (moved - 0x7e00)      # to 2 MiB
  mov $(move_up - 0x7e00), %si
  mov $256, %cx
  mov $0x87, %ah
  int $0x15
  expect_no_carry
  mov $(room - 0x7e00), %di
  mov $512, %cx
  xor %al, %al
  rep stosb
  mov $(move_down - 0x7e00), %si
  mov $256, %cx
  mov $0x87, %ah
  int $0x15
  expect_no_carry
  mov $(moved - 0x7e00), %si
  mov $(room - 0x7e00), %di
  mov $512, %cx
  repe cmpsb
  jz 1f
  movb $1, (bad - 0x7e00)
1:
  result bios

  # The floppy: its parameters, a write that is read back, a sector that does not exist.
  mov $8, %ah
  xor %dl, %dl
  xor %di, %di
  int $0x13
  expect_no_carry
  expect $0x4f12, %cx
  expect $1, %dh
  push %cs
  pop %es
  mov $(moved - 0x7e00), %bx
  mov $0x0301, %ax
  mov $0x4f12, %cx               # cylinder 79, sector 18
  mov $0x0100, %dx
  int $0x13
  expect_no_carry
  mov $(room - 0x7e00), %bx
  mov $0x0201, %ax
  mov $0x4f12, %cx
  mov $0x0100, %dx
  int $0x13
  expect_no_carry
  mov $(moved - 0x7e00), %si
  mov $(room - 0x7e00), %di
  mov $512, %cx
  repe cmpsb
  jz 1f
  movb $1, (bad - 0x7e00)
1:
  mov $(room - 0x7e00), %bx
  mov $0x0201, %ax
  mov $0x0013, %cx               # sector 19
  xor %dx, %dx
  int $0x13
  expect_carry
  result floppy

  # The screen: what the BIOS prints is in text memory.
  mov $3, %ax
  int $0x10
  mov $0x0e52, %ax
  mov $7, %bx
  int $0x10
  mov $0x0e4d, %ax
  int $0x10
  mov $0xb800, %ax
  mov %ax, %es
  mov %es:0, %al
  mov %es:2, %ah
  expect $0x4d52, %ax
  push %cs
  pop %es
  result screen

  # Unreal mode: segment limits of protected mode stay behind in real mode.
  cli
  lgdtl (gdt_pointer - 0x7e00)
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  jmp 1f
1:
  mov $8, %bx
  mov %bx, %fs
  and $0xfe, %al
  mov %eax, %cr0
  jmp 1f
1:
  xor %ax, %ax
  mov %ax, %fs
  mov $0x300000, %ebx
  movl $0x600dcafe, %fs:(%ebx)
  mov %fs:(%ebx), %eax
  sti
  expect $0x600dcafe, %eax
  result unreal

  # The keyboard controller's self-test; a key, if the host presses one, is nobody's.
  cli
1: in $0x64, %al
  test $2, %al
  jnz 1b
  mov $0xaa, %al
  out %al, $0x64
1: in $0x64, %al
  test $1, %al
  jz 1b
  in $0x60, %al
  expect $0x55, %al
  sti
  result keyboard

  mov $(done - 0x7e00), %si
  call print
1: in $0x64, %al
  test $2, %al
  jnz 1b
  mov $0xfe, %al
  out %al, $0x64
1: hlt
  jmp 1b

# ---- handlers ----
on_divide:
  push %bp
  mov %sp, %bp
  push %ax
  mov 2(%bp), %ax
  cmp $(the_divide - 0x7e00), %ax
  jne 1f
  incw %cs:(divides - 0x7e00)
1:
  addw $2, 2(%bp)
  pop %ax
  pop %bp
  iret
on_60:
  xchg %al, %ah
  xor $0x3751, %ax               # 0x2143 ^ 0x3751 = 0x1612; then:
  add $0xfc22, %ax               # 0x1234
  iret
on_tick:
  incw %cs:(ticks - 0x7e00)
  iret
add_them:                        # far; pops its two words
  mov %sp, %bp
  mov 4(%bp), %ax
  add 6(%bp), %ax
  lret $4

verdict:                         # SI: name
  call print
  mov $(good_text - 0x7e00), %si
  cmpb $0, %cs:(bad - 0x7e00)
  je 1f
  mov $(bad_text - 0x7e00), %si
1:
  movb $0, %cs:(bad - 0x7e00)
print:
  cs lodsb
  test %al, %al
  jz 2f
  mov %al, %bl
  mov $0x3fd, %dx
1: in %dx, %al
  test $0x20, %al
  jz 1b
  mov %bl, %al
  mov $0x3f8, %dx
  out %al, %dx
  jmp print
2: ret

text: .asciz "hello"
good_text: .asciz " ok\n"
bad_text: .asciz " BAD\n"
done: .asciz "REAL-MODE-DONE\n"
bad: .byte 0
.align 4
far_pointer:
  .word add_them - 0x7e00, kProgram
old_divide: .long 0
old_tick: .long 0
divides: .word 0
ticks: .word 0
gdt:
  .quad 0
  .quad 0x00cf92000000ffff       # data, 4 GiB
gdt_pointer:
  .word 15
  .long kProgram * 16 + gdt - 0x7e00
# INT 15h AH=87h: a table of descriptors; source and destination are the third and fourth.
.macro move_table from to
  .quad 0, 0
  .word 0xffff
  .word \from & 0xffff
  .byte \from >> 16, 0x93, 0, 0
  .word 0xffff
  .word \to & 0xffff
  .byte \to >> 16, 0x93, 0, 0
  .quad 0, 0
.endm
.set moved_at, 0x10000 + 0x1800
.set room_at, 0x10000 + 0x1c00
move_up: move_table moved_at, 0x200000
move_down: move_table 0x200000, room_at
.org 0x200 + 0x1800
moved:
  .rept 128
  .long 0x12345678
  .endr
.org 0x200 + 0x1c00
room:
  .fill 1024, 1, 0
