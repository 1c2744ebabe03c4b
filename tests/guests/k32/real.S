// Real mode from the 32-bit kernel: a trampoline at 0x6000, the tests' code at
// 0x7000, results at 0x6800, an IVT of our own at 0x6400 (the IDTR's base holds
// in real mode, too) whose entries note the vector and end the test.
  .text
  .code32
  .global real_enter
// void real_enter(unsigned entry): runs 16-bit code at 0:entry until it returns or faults.
real_enter:
  pushal
  push %fs
  push %gs
  mov 44(%esp), %eax
  mov %eax, 0x67e0
  mov %esp, 0x67e4
  sidt 0x67e8
  sgdt 0x67c0
  lidt real_idt_pointer
  ljmp $0x38, $0x6000
real_return:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov 0x67e4, %esp
  lidt 0x67e8
  cld
  pop %gs
  pop %fs
  popal
  ret
real_idt_pointer: .word 0x3ff
  .long 0x6400

  .global real_blob, real_blob_end
real_blob:
  .code16
  mov $0x40, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov %ax, %fs
  mov %ax, %gs
  mov %cr0, %eax
  and $0xfe, %al
  mov %eax, %cr0
  ljmp $0, $0x6000 + (1f - real_blob)
1: xor %ax, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %fs
  mov %ax, %gs
  mov %ax, %ss
  mov $0x5ff0, %sp
  mov 0x67e0, %ax
  call *%ax
back:
  cli
  xor %ax, %ax
  mov %ax, %ds
  lgdtl 0x67c0
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  ljmpl $8, $real_return
// Vectors: one PUSH imm8; JMP each, 8 bytes apart (0x80 vectors are enough).
  .align 16, 0x90
  .global real_vectors
real_vectors:
  .set i, 0
  .rept 64
  .align 8
  push $i
  jmp real_fault
  .set i, i + 1
  .endr
real_fault:
  xor %ax, %ax
  mov %ax, %ds
  popw 0x67f0          // vector
  popw 0x67f2          // ip
  popw 0x67f4          // cs
  popw 0x67f6          // flags
  mov %cx, 0x67f8
  mov %si, 0x67fa
  mov %di, 0x67fc
  mov %ax, %ss
  mov $0x5ff0, %sp
  jmp back
real_blob_end:

// ---- the tests' code: position 0x7000 ----
#define BEGIN(name) .global name; .global name##_end; name:
#define END(name) name##_end:
#define AT(label, start) (0x7000 + label - start)

BEGIN(r_arith)          // 16-bit defaults, 66 and 67 prefixes
  mov $0xffff, %ax
  inc %ax
  mov %ax, 0x6800
  mov $0x12345678, %eax
  add $0x11111111, %eax
  mov %eax, 0x6804
  mov $0x6800, %ebx
  movl $0xcafe, 8(%ebx)
  mov $0x6800, %bx
  mov $0x10, %si
  movw $0x55aa, (%bx,%si)
  ret
END(r_arith)

BEGIN(r_segments)       // segment * 16 + offset, no GDT
  mov $0x680, %ax
  mov %ax, %es
  movw $0x1234, %es:0
  mov $0x67f, %ax
  mov %ax, %fs
  movw $0x5678, %fs:0x12
  mov $0x500, %ax
  push %ss
  mov %ax, %ss
  mov $0x1808, %bp      // ss:bp = 0x6808
  movw $0x9abc, (%bp)
  pop %ss               // from 0x5000 + sp: junk, so set it right
  xor %ax, %ax
  mov %ax, %ss
  ret
END(r_segments)

BEGIN(r_limit)          // a word at offset ffff: #GP, vector 13
  mov $0xffff, %bx
  mov (%bx), %ax
  ret
END(r_limit)

BEGIN(r_limit32)        // offset 10000 with 67: #GP
  mov $0x10000, %ebx
  movb (%ebx), %al
  ret
END(r_limit32)

BEGIN(r_stack_limit)    // pop of a word at ss:ffff: #SS, vector 12
  mov $0x1000, %ax
  mov %ax, %ss
  mov $0xffff, %sp
  pop %ax
  ret
END(r_stack_limit)

BEGIN(r_push_wrap)      // sp 0 wraps to fffe
  mov %sp, %dx
  mov $0x600, %ax
  mov %ax, %ss
  xor %sp, %sp
  push $0x4711
  mov %sp, %cx
  xor %ax, %ax
  mov %ax, %ss
  mov %dx, %sp
  mov %cx, 0x6800
  mov $0x1500, %ax      // 0x6000 + 0xfffe = 0x15ffe
  mov %ax, %es
  mov %es:0xffe, %ax
  mov %ax, 0x6802
  ret
END(r_push_wrap)

BEGIN(r_int)            // INT through the IVT and IRET, flags pushed
  movw $AT(1f, r_int), 0x6400 + 4 * 0x40
  movw $0, 0x6400 + 4 * 0x40 + 2
  sti
  stc
  int $0x40
  pushf
  popw 0x6804
  cli
  ret
1: pushf
  popw 0x6800
  mov %sp, %bp
  mov 4(%bp), %ax       // pushed flags
  mov %ax, 0x6802
  iret
END(r_int)

BEGIN(r_divide)         // #DE: ip of the DIV is pushed
  xor %cx, %cx
1: div %cx
  ret
END(r_divide)

BEGIN(r_ud)
  ud2
END(r_ud)

BEGIN(r_ud_protected)   // protected-mode instructions are #UD
  .byte 0x0f, 0x00, 0xc8   // str ax
  ret
END(r_ud_protected)

BEGIN(r_bound)
  mov $5, %ax
  bound %ax, 0x7000
  ret
END(r_bound)

BEGIN(r_ip_wrap)        // a jump beyond ffff with a 16-bit operand wraps
  movb $0xe9, 0xfff0    // jmp rel16 at 0:fff0 to 0:target
  movw $AT(1f, r_ip_wrap) - 0xfff3, 0xfff1
  mov $0xfff0, %ax
  jmp *%ax
1: movw $0x77, 0x6800
  ret
END(r_ip_wrap)

BEGIN(r_ip_limit)       // running off the end at ffff: #GP
  movb $0x90, 0xffff
  mov $0xffff, %ax
  jmp *%ax
END(r_ip_limit)

BEGIN(r_string_wrap)    // si and di wrap at 64 KiB
  mov $0x1000, %ax
  mov %ax, %es
  mov $0xfffe, %di
  mov $4, %cx
  mov $0x5a, %al
  cld
  rep stosb
  mov %di, 0x6800
  mov %es:0xffff, %al
  mov %al, 0x6802
  mov %es:1, %al
  mov %al, 0x6803
  ret
END(r_string_wrap)

BEGIN(r_string_limit)   // a word element across ffff: #GP with the state before it
  mov $0x1000, %ax
  mov %ax, %es
  mov $0xfffd, %di
  mov $4, %cx
  rep stosw
  ret
END(r_string_limit)

BEGIN(r_unreal)         // a 4 GiB limit taken to real mode stays until the next load of protected mode
  lgdtl %cs:AT(2f, r_unreal)
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  jmp 1f
1: mov $8, %bx
  mov %bx, %fs
  and $0xfe, %al
  mov %eax, %cr0
  xor %ax, %ax
  mov %ax, %fs          // base 0, limit kept
  mov $0x200000, %ebx
  movl $0x600df00d, %fs:(%ebx)
  mov %fs:(%ebx), %eax
  mov %eax, 0x6800
  ret
  .align 8
2: .word 15
  .long AT(3f, r_unreal)
  .align 8
3: .quad 0, 0x00cf93000000ffff
END(r_unreal)

BEGIN(r_a20)            // ffff:0010 is 0x100000 with A20 open
  mov $0xffff, %ax
  mov %ax, %es
  mov %es:0x10, %eax
  mov %eax, 0x6800
  ret
END(r_a20)

BEGIN(r_enter)          // ENTER, LEAVE, PUSHA, POPA, LOOP, JCXZ with 16-bit registers
  mov %sp, %dx
  mov $0x1111, %bp
  enter $8, $0
  mov %bp, %ax
  sub %sp, %ax
  mov %ax, 0x6800
  leave
  mov %bp, 0x6802
  mov $3, %ecx
  or $0x70000, %ecx
  xor %bx, %bx
1: inc %bx
  loop 1b
  mov %bx, 0x6804
  mov %ecx, 0x6808
  jcxz 2f
  movw $1, 0x680c
2: ret
END(r_enter)

BEGIN(r_far)            // far call and return, 16 and 32 bits
  lcall $0, $AT(1f, r_far)
  lcall $0x700, $AT(1f, r_far) - 0x7000
  lcalll $0, $AT(2f, r_far)
  ret
1: incw 0x6800
  lret
2: incw 0x6802
  lretl
END(r_far)

BEGIN(r_step)           // TF: vector 1 after the next instruction
  pushf
  pop %ax
  or $0x100, %ax
  push %ax
  popf
  nop
1: nop
  ret
END(r_step)

BEGIN(r_smsw)
  smsw %ax
  mov %ax, 0x6800
  mov %cr0, %eax
  mov %ax, 0x6802
  ret
END(r_smsw)

BEGIN(r_hlt_self_modify)   // code that patches the next instruction
  movb $0x99, AT(1f, r_hlt_self_modify) + 1
1: mov $0x11, %al
  mov %al, 0x6800
  ret
END(r_hlt_self_modify)
