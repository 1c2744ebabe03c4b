// 64-bit vectors, attempt() and ring 3 entry. Frame layout: lib/trap.h.
  .text
  .global trap_stubs
  .align 16
trap_stubs:
  .set i, 0
  .rept 256
  .align 16
  .if (i == 8) || (i >= 10 && i <= 14) || (i == 17) || (i == 21) || (i == 29) || (i == 30)
  .else
  push $0
  .endif
  push $i
  jmp common
  .set i, i + 1
  .endr
common:
  push %rax
  push %rbx
  push %rcx
  push %rdx
  push %rsi
  push %rdi
  push %rbp
  push %r8
  push %r9
  push %r10
  push %r11
  push %r12
  push %r13
  push %r14
  push %r15
  cld
  mov %rsp, %rdi
  mov %rsp, %rbx
  and $-16, %rsp
  call trap_entry
  mov %rbx, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rbp
  pop %rdi
  pop %rsi
  pop %rdx
  pop %rcx
  pop %rbx
  pop %rax
  add $16, %rsp
  iretq

  .global try_call, recover_jump
try_call:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  sub $8, %rsp
  mov %rsp, (%rdx)
  mov %rdi, %rax
  mov %rsi, %rdi
  call *%rax
  xor %eax, %eax
1: cld
  add $8, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
// By IRET, so that NMIs are unblocked and flags are sane again.
recover_jump:
  mov %rsp, %rax
  push $0x10
  push %rdi
  push $2
  push $8
  lea 2f(%rip), %rax
  push %rax
  iretq
2: mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov $1, %eax
  jmp 1b

// enter_user(ip, arg, sp, flags)
  .global enter_user, user_start
enter_user:
  push $0x23
  push %rdx
  push %rcx
  push $0x2b
  push %rdi
  mov %rsi, %rdi
  iretq
user_start:
  mov user_call_target(%rip), %rax
  call *%rax
  int $0x81
