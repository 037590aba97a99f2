"""Passwords are strong, hashed as crypt(5) says, and hashes are left alone."""

from __future__ import annotations

import shutil
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiln.firstboot.passwords import generate, hash_password, is_hash

# Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", test vectors.
PUBLISHED = [
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/"
        "YTBmSK6H9qs/y3RnOaw5v.",
    ),
    (
        "a short string",
        "$6$rounds=123456$asaltof16chars..$BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xX"
        "gMNrCzIMVcgEJAstJeonj1",
    ),
]
MD5 = "$1$abcdefgh$irWbblnpmw.5z7wgBnprh0"
SHA256 = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8"
YESCRYPT = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"


def openssl(plain: str, salt: str) -> str:
    assert shutil.which("openssl"), "install openssl"
    argv = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    return subprocess.run(argv, input=plain, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.requirement("FX-50")
def test_generated_passwords_are_20_letters_and_digits_and_never_the_same() -> None:
    made = {generate() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(password) == 20 for password in made)
    assert set("".join(made)) == set(string.ascii_letters + string.digits)


@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize("plain", ["Hello world!", "x", "ě$ $6$ not a hash", "p" * 200])
def test_hashes_are_what_openssl_computes(plain: str, generated: bool) -> None:
    hashed = hash_password(plain, generated=generated)
    _, _, salt = hashed.rpartition("$")[0].partition("$6$")
    assert openssl(plain, salt) == hashed


def test_passwords_that_people_chose_get_more_rounds() -> None:
    assert "rounds=50000" in hash_password("chosen")


def test_the_salt_is_random() -> None:
    assert hash_password("same", generated=True) != hash_password("same", generated=True)


@pytest.mark.parametrize(("plain", "hashed"), PUBLISHED)
def test_the_library_agrees_with_the_published_vectors(plain: str, hashed: str) -> None:
    from passlib.hash import sha512_crypt

    assert is_hash(hashed)
    assert sha512_crypt.verify(plain, hashed)


@pytest.mark.requirement("CI-38")
@pytest.mark.parametrize("hashed", [MD5, SHA256, YESCRYPT, PUBLISHED[0][1], PUBLISHED[1][1]])
def test_crypt_hashes_pass_untouched(hashed: str) -> None:
    assert is_hash(hashed)
    assert hash_password(hashed) == hashed


@pytest.mark.parametrize(
    "text", ["", "secret", "$6$", "$6$salt$short", "$9$salt$hash", MD5 + "x", MD5 + "\n", "$ecret$word$x"]
)
def test_other_texts_are_no_hashes(text: str) -> None:
    assert not is_hash(text)


@pytest.mark.parametrize("plain", ["", "a\nb", "a\rb", "a\0b", "p" * 513])
def test_what_chpasswd_cannot_read_is_refused(plain: str) -> None:
    with pytest.raises(ValueError, match="password must not"):
        hash_password(plain)


@settings(max_examples=20)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_password_becomes_a_hash(plain: str) -> None:
    hashed = hash_password(plain, generated=True)
    assert hashed.startswith("$6$") or hashed == plain
    assert is_hash(hashed)


def test_the_first_hashes_of_a_process_may_be_made_side_by_side() -> None:
    code = """
import sys, threading
from kiln.firstboot.passwords import hash_password
sys.setswitchinterval(1e-6)
together, made = threading.Barrier(8), []
def work():
    together.wait()
    made.append(hash_password("x", generated=True))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(len(made) != 8)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
