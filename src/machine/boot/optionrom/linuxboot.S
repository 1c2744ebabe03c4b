/* Boots a Linux kernel by the 16-bit boot protocol (Documentation/arch/x86/boot.rst): everything is put where the
 * machine's loader has planned it, then the kernel's real-mode setup code is entered. */
.include "rom.inc"

boot:
    own_stack
    load_blob FW_SETUP_ADDR, FW_SETUP_SIZE, FW_SETUP_DATA
    load_blob FW_CMDLINE_ADDR, FW_CMDLINE_SIZE, FW_CMDLINE_DATA
    load_blob FW_KERNEL_ADDR, FW_KERNEL_SIZE, FW_KERNEL_DATA
    load_blob FW_INITRD_ADDR, FW_INITRD_SIZE, FW_INITRD_DATA

    mov $FW_SETUP_ADDR, %ax
    call fw_read32
    mov %eax, %esi
    mov $FW_CMDLINE_ADDR, %ax
    call fw_read32
    sub %esi, %eax              /* the heap and stack end below the command line */
    sub $16, %eax
    shr $4, %esi
    cli
    mov %si, %ds
    mov %si, %es
    mov %si, %fs
    mov %si, %gs
    mov %si, %ss
    mov %eax, %esp
    lea 0x20(%si), %ax          /* setup code begins 512 bytes in */
    push %ax
    pushw $0
    xor %eax, %eax
    xor %ebx, %ebx
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %ebp, %ebp
    lret

product:
    .asciz "Linux loader"
