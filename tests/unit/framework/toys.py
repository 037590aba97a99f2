"""Small models for the tests of this room."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.units import Size
from kiln.framework.values import Asset
from pydantic import AfterValidator


def _even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is not even")
    return number


class Wheel(Model):
    """A wheel."""

    size: Size = prop("How large.", required=True, impact=Impact.LIVE)
    code: str | None = prop("Its lock.", secret=True, impact=Impact.LIVE)


def grows(old: Any, new: Any) -> Impact:
    """Growing is live, shrinking replaces."""
    return Impact.LIVE if new.bytes >= old.bytes else Impact.REPLACE


class CarInputs(Model):
    """What a car is to be."""

    name: str = prop("Its name.", sticky=True)
    doors: Annotated[int, AfterValidator(_even)] = prop("How many doors.", default=4, impact=Impact.RESTART)
    trunk: Size = prop("Room for luggage.", default=Size.parse("1GiB"), impact=grows)
    paint: Literal["red", "blue"] | None = prop("Its colour.", impact=Impact.LIVE)
    spare_wheel: Wheel | None = prop("The fifth wheel.", impact=Impact.LIVE)
    wheels: list[Wheel] | None = prop("The others.", impact=Impact.RESTART)
    stickers: dict[str, str] | None = prop("What is glued to it.", impact=Impact.LIVE)
    manual: str | Asset | None = prop("The book.", default_doc="none")
    key: str | None = prop("What starts it.", secret=True, impact=Impact.LIVE)


class CarState(CarInputs):
    """What is known of a car."""

    serial: str = out("Its number.")
    weight: int = out("Its weight.", changes_with=("doors", "wheels"))
    pin: str | None = out("Made for it.", secret=True)
