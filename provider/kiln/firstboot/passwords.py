"""Passwords for first boot: made with ``secrets``, hashed before they leave the process."""

from __future__ import annotations

import re
import secrets
import string
import threading
from typing import Any

ALPHABET = string.ascii_letters + string.digits
LENGTH = 20
"""20 letters and digits are 119 bits."""
ROUNDS = 50_000
"""sha512-crypt rounds for passwords that people chose: ten times the default of 5000, about 30 ms at a login."""
GENERATED_ROUNDS = 5_000
"""Rounds for generated passwords, whose 119 bits need no slow hash; twenty servers at once would feel one."""

_FIRST_USE = threading.Lock()

# crypt(5): $1$ MD5, $5$ SHA-256, $6$ SHA-512, $y$ yescrypt, each with salt and hash in the alphabet ./0-9A-Za-z.
_HASH = re.compile(
    r"\$1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}"
    r"|\$5\$(rounds=[0-9]{4,9}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(rounds=[0-9]{4,9}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
    r"|\$y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}"
)


def generate() -> str:
    """A new password: 20 letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hash_password(plain: str, *, generated: bool = False) -> str:
    """The password as sha512-crypt (``$6$``, crypt(5)) with a random salt; a crypt hash passes untouched.

    ``generated`` says that it comes from ``generate``.

    Raises:
        ValueError: the password is empty, holds NUL or a line break (chpasswd(8) reads lines), or is over 512 bytes.
    """
    if is_hash(plain):
        return plain
    if not plain or any(character in plain for character in "\0\r\n"):
        raise ValueError("a password must not be empty and must not hold NUL or a line break")
    if len(plain.encode()) > 512:
        raise ValueError("a password must not be longer than 512 bytes")
    salt = "".join(secrets.choice("./" + ALPHABET) for _ in range(16))
    rounds = GENERATED_ROUNDS if generated else ROUNDS
    hashed: str = _sha512_crypt().using(rounds=rounds, salt=salt).hash(plain)
    return hashed


def _sha512_crypt() -> Any:
    """passlib's scheme, used once. Its imports and tables are lazy and break when several threads are the first."""
    with _FIRST_USE:
        from passlib.handlers.sha2_crypt import sha512_crypt

        sha512_crypt.using(rounds=1000, salt="first").hash("")
    return sha512_crypt


def is_hash(text: str) -> bool:
    """Whether the text is a crypt(5) hash: MD5, SHA-256, SHA-512 or yescrypt."""
    return _HASH.fullmatch(text) is not None
