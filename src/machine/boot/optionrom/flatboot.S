/* Boots a kernel that wants flat 32-bit protected mode: Multiboot (0.6.96) and PVH (the x86/HVM direct boot ABI). The
 * machine's loader has prepared all structures in one block below 1 MiB; here the firmware's memory map and the RSDP
 * are added. The block begins with the fields below; offsets are from the block's start, which is 16-byte aligned. */
.include "rom.inc"

.set B_EAX, 0
.set B_EBX, 4
.set B_ENTRY, 8
.set B_RECORDS, 12              /* offset of the first e820 record */
.set B_MAX_RECORDS, 14
.set B_COUNT, 16                /* offset of the dword for the number of records times the factor */
.set B_FACTOR, 18
.set B_MEM_LOWER, 20            /* offset of two dwords, or 0 */
.set B_RSDP, 22                 /* offset of a qword, or 0 */
.set B_GDT_POINTER, 24

.set RECORD_STRIDE, 24
.set RECORD_SIZE, 20
.set SMAP, 0x534d4150

boot:
    own_stack
    load_blob FW_SETUP_ADDR, FW_SETUP_SIZE, FW_SETUP_DATA
    load_blob FW_KERNEL_ADDR, FW_KERNEL_SIZE, FW_KERNEL_DATA
    load_blob FW_INITRD_ADDR, FW_INITRD_SIZE, FW_INITRD_DATA

    mov $FW_SETUP_ADDR, %ax
    call fw_read32
    mov %eax, %ebp              /* kept until the end; BIOS calls preserve it */
    shr $4, %eax
    mov %ax, %ds
    mov %ax, %es
    call memory_map
    call conventional_memory

    cli
    lgdtl B_GDT_POINTER
    xor %eax, %eax
    mov %cs, %ax
    shl $4, %eax
    add $flat, %eax
    pushl $0x08
    pushl %eax
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    lretl

/* INT 15h E820 records into the block. */
memory_map:
    xor %ebx, %ebx
    mov B_RECORDS, %di
    mov B_MAX_RECORDS, %cx
    xor %si, %si                /* how many */
1:  push %cx
    mov $0xe820, %eax
    mov $RECORD_SIZE, %ecx
    mov $SMAP, %edx
    push %bp
    push %si
    push %di
    int $0x15
    pop %di
    pop %si
    pop %bp
    pop %cx
    jc 3f
    cmp $SMAP, %eax
    jne 3f
    inc %si
    call note_extended
    add $RECORD_STRIDE, %di
    test %ebx, %ebx
    jz 3f
    loop 1b
3:  movzwl B_FACTOR, %eax
    movzwl %si, %ecx
    imul %ecx, %eax
    mov B_COUNT, %di
    mov %eax, (%di)
    ret

/* If the record at (%di) is the RAM at 1 MiB, its size in KiB is the second of the dwords at B_MEM_LOWER. */
note_extended:
    push %si
    mov B_MEM_LOWER, %si
    test %si, %si
    jz 1f
    cmpl $0x100000, (%di)
    jne 1f
    cmpl $0, 4(%di)
    jne 1f
    cmpl $1, 16(%di)
    jne 1f
    mov 8(%di), %eax
    shr $10, %eax
    mov %eax, 4(%si)
1:  pop %si
    ret

conventional_memory:
    mov B_MEM_LOWER, %si
    test %si, %si
    jz 1f
    push %si
    int $0x12
    pop %si
    movzwl %ax, %eax
    mov %eax, (%si)
1:  ret

    .code32
flat:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    /* %ebp: the block. Find "RSD PTR " at a 16-byte boundary of the BIOS area. */
    movzwl B_RSDP(%ebp), %edi
    test %edi, %edi
    jz 3f
    mov $0xe0000, %esi
1:  cmpl $0x20445352, (%esi)
    jne 2f
    cmpl $0x20525450, 4(%esi)
    jne 2f
    mov %esi, (%ebp, %edi)
    jmp 3f
2:  add $16, %esi
    cmp $0x100000, %esi
    jb 1b
3:  mov B_EAX(%ebp), %eax
    mov B_EBX(%ebp), %ebx
    pushl B_ENTRY(%ebp)
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %ebp, %ebp
    ret

product:
    .asciz "Flat kernel loader"
