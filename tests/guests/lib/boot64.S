// Entry of the 64-bit test kernel: Multiboot 1 (0.6.96, 3.1), then long mode
// with 4-level tables: 0-4 GiB one to one as supervisor pages (the first
// 4 MiB by 4 KiB pages), and the first 4 MiB again at kUserAlias for ring 3.
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
  // pml4[0] -> pdpt; pdpt[0..3] -> pd (2 MiB pages), pd[0..1] -> pt; pd1's
  // first entries for the alias at 1 GiB are made by paging_setup().
  mov $pdpt + 7, %eax
  mov %eax, pml4
  mov $pd + 7, %eax
  mov $pdpt, %edi
  mov $4, %ecx
1: mov %eax, (%edi)
  add $8, %edi
  add $4096, %eax
  loop 1b
  mov $0x83, %eax
  mov $pd, %edi
  mov $2048, %ecx
1: mov %eax, (%edi)
  movl $0, 4(%edi)
  add $8, %edi
  add $0x200000, %eax
  loop 1b
  mov $pml4, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x20, %eax
  mov %eax, %cr4
  mov $0xc0000080, %ecx
  rdmsr
  or $0x901, %eax          // LME, NXE, SCE
  wrmsr
  mov $0x80010033, %eax    // PG WP NE ET MP PE
  mov %eax, %cr0
  lgdt boot_gdt_pointer
  ljmp $8, $1f
  .code64
1: mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov $boot_stack_top, %rsp
  call kernel_main
  hlt

// Application processors: copied to 0x8000 and started there by SIPI.
  .global ap_start, ap_start_end
  .code16
ap_start:
  cli
  xor %ax, %ax
  mov %ax, %ds
  lgdtl ap_gdt_pointer - ap_start + 0x8000
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  ljmpl $0x18, $ap_protected
ap_gdt_pointer: .word 31
  .long boot_gdt
ap_start_end:
  .code32
ap_protected:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov ap_cr4, %eax
  mov %eax, %cr4
  mov ap_cr3, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx
  rdmsr
  or $0x901, %eax
  wrmsr
  mov $0x80010033, %eax
  mov %eax, %cr0
  ljmp $8, $1f
  .code64
1: mov $1, %eax            // one stack an arriving processor
  lock xadd %eax, ap_ticket(%rip)
  shl $13, %eax
  lea ap_stacks + 8192(%rip), %rsp
  add %rax, %rsp
  mov %rsp, %rdi
  and $-16, %rsp
  call ap_main
1: hlt
  jmp 1b

  .data
  .align 16
boot_gdt:
  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
boot_gdt_pointer: .word 31
  .quad boot_gdt
  .global multiboot_info, ap_cr3, ap_cr4, ap_ticket
multiboot_info: .long 0
ap_cr3: .long 0
ap_cr4: .long 0
ap_ticket: .long 0

  .bss
  .align 4096
  .global pml4, pdpt, pd
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096 * 4
  .skip 32768
  .global boot_stack_top
boot_stack_top:
  .align 4096
ap_stacks: .skip 8192 * 64
