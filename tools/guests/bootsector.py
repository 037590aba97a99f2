"""A boot sector that says a word on the serial port and halts: it shows in a console log what a guest booted from."""

from __future__ import annotations

SIZE = 512
ORIGIN = 0x7C00
"""Where a BIOS loads a boot sector, from a hard disk and from a CD."""

_CODE_SIZE = 22


def boot_sector(word: str) -> bytes:
    """Return 512 bytes of 16-bit x86 code that write *word* (ASCII) and a line end to COM1."""
    text = word.encode("ascii") + b"\r\n\0"
    message = (ORIGIN + _CODE_SIZE).to_bytes(2, "little")
    code = (
        b"\x31\xc0"  # xor ax, ax
        b"\x8e\xd8"  # mov ds, ax
        b"\xfc"  # cld
        b"\xba\xf8\x03"  # mov dx, 0x3f8 (COM1)
        b"\xbe"
        + message  # mov si, message
        + b"\xac"  # next: lodsb
        b"\x84\xc0"  # test al, al
        b"\x74\x03"  # jz halt
        b"\xee"  # out dx, al
        b"\xeb\xf8"  # jmp next
        b"\xf4"  # halt: hlt
        b"\xeb\xfd"  # jmp halt
    )
    assert len(code) == _CODE_SIZE
    body = code + text
    if len(body) > SIZE - 2:
        raise ValueError(f"{word!r} is too long for a boot sector")
    return body.ljust(SIZE - 2, b"\0") + b"\x55\xaa"
