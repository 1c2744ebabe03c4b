// Entry of the 32-bit test kernel: Multiboot 1, flat segments, no paging.
  .section .multiboot, "a"
  .align 8
  .long 0x1badb002, 3, -(0x1badb002 + 3)

  .text
  .code32
  .global _start
_start:
  cli
  cld
  mov $boot_stack_top, %esp
  mov %ebx, multiboot_info
  lgdt boot_gdt_pointer
  ljmp $8, $1f
1: mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov %cr0, %eax
  and $~0xc, %eax
  or $0x22, %eax
  mov %eax, %cr0
  call kernel_main
  hlt

  .data
  .align 16
boot_gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
boot_gdt_pointer: .word 23
  .long boot_gdt
  .global multiboot_info
multiboot_info: .long 0

  .bss
  .align 4096
  .skip 32768
  .global boot_stack_top
boot_stack_top:
