"""The boot sector of the probe guest: proves that an accelerator runs what an x86 kernel runs, at a usable speed.

The BIOS alone proves nothing: there are nodes whose KVM is an emulation that boots SeaBIOS, passes every single
instruction, and executes so few of them per second that a kernel takes minutes to unpack itself ("hangs"). So the
sector enters long mode under paging, does what a kernel does first, and then works for some 88 million instructions:
0.1 s under real KVM, 0.3 s under TCG, most of a minute under such a KVM. It tells each stage on COM1 by a letter:

    R real mode    L long mode    I CPUID, MSR, TSC    P paging    W work    T timer interrupts, then the token

Memory: 0x1000 PML4, 0x2000 PDPT, 0x3000 page directory, 0x5000 IDT, 0x7c00 this sector with the stack below it.
Sources: Intel SDM volume 3 §10.8.5 (entering IA-32e mode) and §6 (interrupts), PC/AT 8259A, 8254 and 16550.
"""

from __future__ import annotations

TOKEN = b"KILN-PROBE-OK"
STAGES = {
    b"R": "real mode",
    b"L": "long mode",
    b"I": "CPUID and MSRs",
    b"P": "paging",
    b"W": "work in memory",
    b"T": "timer interrupts",
}
IMAGE_BYTES = 1 << 20  # SeaBIOS refuses a disk of a single sector

_REAL_MODE = """
fa            cli
31c0          xor ax, ax
8ed8          mov ds, ax
8ec0          mov es, ax
8ed0          mov ss, ax
bc007c        mov sp, 0x7c00
fc            cld
baf803        mov dx, 0x3f8            ; COM1
b052          mov al, 'R'
ee            out dx, al
e492          in al, 0x92               ; the A20 line, so that odd megabytes are not folded onto even ones
0c02          or al, 2
e692          out 0x92, al
"""

_PAGE_TABLES = """
bf0010        mov di, 0x1000            ; zeros for the tables and the IDT
6631c0        xor eax, eax
b90014        mov cx, 0x1400
66f3ab        rep stosd
c70600100320  mov word [0x1000], 0x2003 ; PML4[0] -> PDPT, present and writable
c70600200330  mov word [0x2000], 0x3003 ; PDPT[0] -> page directory
bf0030        mov di, 0x3000            ; 32 pages of 2 MiB, each address onto itself
b083          mov al, 0x83
b92000        mov cx, 32
668905        mov [di], eax
660500002000  add eax, 0x200000
83c708        add di, 8
e2f2          loop -14
"""

_LONG_MODE = """
0f0116a87d    lgdt [0x7da8]
0f20e0        mov eax, cr4              ; physical address extension
0c20          or al, 0x20
0f22e0        mov cr4, eax
66b800100000  mov eax, 0x1000
0f22d8        mov cr3, eax
66b9800000c0  mov ecx, 0xc0000080       ; EFER.LME
0f32          rdmsr
80cc01        or ah, 1
0f30          wrmsr
0f20c0        mov eax, cr0              ; protection and paging, which activates long mode
660d01000080  or eax, 0x80000001
0f22c0        mov cr0, eax
ea7b7c0800    jmp 0x08:0x7c7b           ; the next instruction is 64-bit code
b810000000    mov eax, 0x10
8ed8          mov ds, eax
8ec0          mov es, eax
8ed0          mov ss, eax
bc007c0000    mov esp, 0x7c00
b04c          mov al, 'L'
e8b5000000    call put
"""

_PRIVILEGED = """
31c0          xor eax, eax              ; CPUID 0 and 1, which always leave the guest
0fa2          cpuid
b801000000    mov eax, 1
0fa2          cpuid
b91b000000    mov ecx, 0x1b             ; IA32_APIC_BASE, read and written back
0f32          rdmsr
0f30          wrmsr
0f31          rdtsc
b049          mov al, 'I'
e898000000    call put
0f20d8        mov rax, cr3              ; flush the TLB, and one page of it
0f22d8        mov cr3, rax
bf00001000    mov edi, 0x100000
0f013f        invlpg [rdi]
b050          mov al, 'P'
e883000000    call put
"""

_WORK = """
be20000000    mov esi, 32               ; 32 times over 3 MiB: load, add, rotate, store
bf00001000    mov edi, 0x100000
b900000600    mov ecx, 0x60000
488b07        mov rax, [rdi]
4801f8        add rax, rdi
48c1c007      rol rax, 7
488907        mov [rdi], rax
4883c708      add rdi, 8
ffc9          dec ecx
75eb          jnz -21
ffce          dec esi
75dd          jnz -35
b057          mov al, 'W'
e854000000    call put
"""

_INTERRUPTS = """
66c70425005200005c7d  mov word [0x5200], tick   ; IDT[0x20]: interrupt gate to tick
66c70425025200000800  mov word [0x5202], 8
66c7042504520000008e  mov word [0x5204], 0x8e00
0f011c25ae7d0000      lidt [0x7dae]
be667d0000    mov esi, ports            ; write each value to its port
b90b000000    mov ecx, 11
66ad          lodsw
0fb6d4        movzx edx, ah
ee            out dx, al
e2f8          loop -8
31db          xor ebx, ebx
fb            sti
f4            hlt                       ; sleep until 20 interrupts came, as an idle kernel does
80fb14        cmp bl, 20
72fa          jb -6
fa            cli
be7c7d0000    mov esi, token
ac            lodsb
e807000000    call put
84c0          test al, al
75f6          jnz -10
f4            hlt
ebfd          jmp -3
"""

_ROUTINES = """
88c4          put: mov ah, al
bafd030000    mov edx, 0x3fd            ; wait until the UART takes a byte
ec            in al, dx
a820          test al, 0x20
74fb          jz -5
baf8030000    mov edx, 0x3f8
88e0          mov al, ah
ee            out dx, al
c3            ret
50            tick: push rax
ffc3          inc ebx
b020          mov al, 0x20              ; end of interrupt
e620          out 0x20, al
58            pop rax
48cf          iretq
"""

_DATA = """
1120          ports: 8259A: initialise, edge triggered, four words follow
2021          ... vectors from 0x20
0421          ... the second 8259A hangs on line 2
0121          ... 8086 mode
fe21          ... let only the timer through
ffa1          ... nothing of the second
3443          8254: channel 0, low then high byte, rate generator
a940          ... every 1193 ticks: 1000 Hz
0440
2020          8259A: end of interrupt, twice, should one have been pending
2020
54204b494c4e2d50524f42452d4f4b0a00  token: "T KILN-PROBE-OK\\n"
0f1f00        (alignment)
0000000000000000  GDT: null
ffff0000009aaf00  ... 0x08: 64-bit code
ffff00000092cf00  ... 0x10: data
1700907d0000  its limit and address
0f020050000000000000  the IDT's
"""

_SECTIONS = (_REAL_MODE, _PAGE_TABLES, _LONG_MODE, _PRIVILEGED, _WORK, _INTERRUPTS, _ROUTINES, _DATA)
_SECTOR_BYTES = 512
_SIGNATURE = b"\x55\xaa"


def image() -> bytes:
    """A raw disk image whose boot sector is the probe."""
    lines = (line for section in _SECTIONS for line in section.strip().splitlines())
    code = b"".join(bytes.fromhex(line.split(None, 1)[0]) for line in lines)
    sector = code.ljust(_SECTOR_BYTES - len(_SIGNATURE), b"\0") + _SIGNATURE
    return sector.ljust(IMAGE_BYTES, b"\0")


def stage(output: bytes) -> str:
    """How far a guest came that wrote ``output``, for a person."""
    reached = [name for letter, name in STAGES.items() if letter in output]
    return f"it got as far as {reached[-1]}" if reached else "it wrote nothing"
