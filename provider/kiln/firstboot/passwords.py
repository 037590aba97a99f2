"""Passwords for first boot: made with ``secrets``, hashed before they leave the process."""

from __future__ import annotations

import re
import secrets
import string

ALPHABET = string.ascii_letters + string.digits
LENGTH = 20
"""20 letters and digits are 119 bits."""
ROUNDS = 100_000
"""sha512-crypt rounds: about 50 ms for the guest at a login, and a hash that leaks is 20 times dearer to guess than at
the default of 5000."""

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


def hash_password(plain: str) -> str:
    """The password as sha512-crypt (``$6$``, crypt(5)) with a random salt; what is a crypt hash already passes untouched.

    Raises:
        ValueError: the password is empty, holds NUL or a line break (chpasswd(8) reads lines), or is over 512 bytes.
    """
    if is_hash(plain):
        return plain
    if not plain or any(character in plain for character in "\0\r\n"):
        raise ValueError("a password must not be empty and must not hold NUL or a line break")
    if len(plain.encode()) > 512:
        raise ValueError("a password must not be longer than 512 bytes")
    from passlib.hash import sha512_crypt

    salt = "".join(secrets.choice("./" + ALPHABET) for _ in range(16))
    hashed: str = sha512_crypt.using(rounds=ROUNDS, salt=salt).hash(plain)
    return hashed


def is_hash(text: str) -> bool:
    """Whether the text is a crypt(5) hash: MD5, SHA-256, SHA-512 or yescrypt."""
    return _HASH.fullmatch(text) is not None
