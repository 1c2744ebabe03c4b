// 32-bit vectors, attempt() and ring 3 entry. Frame layout: lib/trap.h.
  .text
  .code32
  .global trap_stubs
  .align 16
trap_stubs:
  .set i, 0
  .rept 256
  .align 16
  .if (i == 8) || (i >= 10 && i <= 14) || (i == 17)
  .else
  pushl $0
  .endif
  pushl $i
  jmp common
  .set i, i + 1
  .endr
common:
  pushal
  push %ds
  push %es
  push %fs
  push %gs
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  cld
  mov %esp, %ebx
  and $-16, %esp
  sub $12, %esp
  push %ebx
  call trap_entry
  mov %ebx, %esp
  pop %gs
  pop %fs
  pop %es
  pop %ds
  popal
  add $8, %esp
  iret

  .global try_call, recover_jump
try_call:
  push %ebx
  push %ebp
  push %esi
  push %edi
  mov 28(%esp), %eax
  mov %esp, (%eax)
  mov 20(%esp), %eax
  pushl 24(%esp)
  call *%eax
  add $4, %esp
  xor %eax, %eax
1: cld
  pop %edi
  pop %esi
  pop %ebp
  pop %ebx
  ret
recover_jump:
  mov 4(%esp), %eax
  mov $0x10, %ecx
  mov %ecx, %ss
  mov %eax, %esp
  mov %ecx, %ds
  mov %ecx, %es
  xor %ecx, %ecx
  mov %ecx, %fs
  mov %ecx, %gs
  pushl $2
  pushl $8
  pushl $2f
  iret
2: mov $1, %eax
  jmp 1b

// enter_user(ip, arg, sp, flags)
  .global enter_user, user_start
enter_user:
  mov 4(%esp), %ebx
  mov 8(%esp), %edx
  mov 12(%esp), %ecx
  mov 16(%esp), %esi
  mov $0x23, %eax
  mov %eax, %ds
  mov %eax, %es
  pushl $0x23
  push %ecx
  push %esi
  pushl $0x1b
  push %ebx
  iret
user_start:
  mov user_call_target, %eax
  push %edx
  call *%eax
  int $0x81
