"""Sizes as people write them: ``512MiB``, ``20GiB``, compared by value, kept as written.

Units follow virt-install and qemu-img: bare ``K M G T`` and ``KiB…TiB`` are binary (1024), ``KB…TB`` are decimal
(1000), ``B`` is bytes. A bare number is refused: it is MiB to virt-install and bytes to qemu-img.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(iB|B|)\s*", re.ASCII | re.IGNORECASE)
ALLOWED = "a number with a unit, such as 512MiB, 20GiB, 1.5G or 1000000000B"


@dataclass(frozen=True, eq=False)
class Size:
    """A size in ``bytes``, remembering the ``text`` it was written as. Equal when the bytes are."""

    text: str = field(compare=False)
    bytes: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.bytes == other.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __str__(self) -> str:
        return self.text

    @property
    def kib(self) -> int:
        """The size in whole KiB."""
        return self.bytes // 1024

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read a size. Raises ValueError naming what is allowed."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a size; use {ALLOWED}")
        number, prefix, suffix = match.groups()
        if not prefix and not suffix:
            raise ValueError(f"{text!r} has no unit; use {ALLOWED}")
        base = 1000 if prefix and suffix.upper() == "B" else 1024
        exact = Fraction(number) * base ** _POWERS[prefix.upper()]
        if exact.denominator != 1:
            raise ValueError(f"{text!r} is not a whole number of bytes; use {ALLOWED}")
        return cls(text.strip(), int(exact))

    @classmethod
    def of(cls, count: int) -> Size:
        """The size of ``count`` bytes, written in the largest binary unit that divides it."""
        for prefix in ("P", "T", "G", "M", "K"):
            unit = 1024 ** _POWERS[prefix]
            if count and count % unit == 0:
                return cls(f"{count // unit}{prefix}iB", count)
        return cls(f"{count}B", count)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate from a string (or a Size); serialise to the text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def _validate(cls, value: Any) -> Size:
        if isinstance(value, Size):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        raise ValueError(f"{value!r} is not a size; use {ALLOWED}, as a string")


def multiple_of(unit: int, what: str) -> Any:
    """A check, for ``pydantic.AfterValidator``, that a size is above zero and a whole number of ``unit`` bytes."""

    def check(size: Size) -> Size:
        if size.bytes == 0:
            raise ValueError(f"{size.text!r} is not above zero; use {ALLOWED}")
        if size.bytes % unit:
            nearest = Size.of(-(-size.bytes // unit) * unit)
            raise ValueError(f"{size.text!r} is not {what}; use {nearest}")
        return size

    return check
