"""Errors are one paragraph: what, why, what next, and where."""

from __future__ import annotations

from kiln.framework.errors import InputError, InputErrors, KilnError, PartialCreate, Refused, Unreachable


def test_an_error_says_what_why_what_next_and_where() -> None:
    error = KilnError("it broke", cause="the kernel said no.", action="try again").at(
        resource="web", node="qemu:///system", step="define"
    )
    assert str(error) == (
        "it broke. Cause: the kernel said no. Next: try again. (step define, resource web, node qemu:///system)"
    )


def test_an_error_is_one_paragraph_whatever_its_parts_hold() -> None:
    assert str(KilnError("it\n  broke.", cause="no\n\nspace")) == "it broke. Cause: no space."


def test_the_innermost_note_wins() -> None:
    error = KilnError("x").at(step="inner").at(step="outer", node="n")
    assert (error.step, error.node) == ("inner", "n")


def test_input_errors_hold_all_with_their_paths() -> None:
    errors = InputErrors([InputError("a", "bad"), InputError("b[0]", "worse", action="mend it")])
    assert "a: bad." in str(errors)
    assert "b[0]: worse. Next: mend it." in str(errors)
    assert [one.path for one in errors.errors] == ["a", "b[0]"]


def test_a_partial_create_carries_what_there_is() -> None:
    error = PartialCreate("id", {"a": 1}, ["one", "two"])
    assert (error.id, error.state, error.reasons) == ("id", {"a": 1}, ("one", "two"))


def test_any_error_can_name_the_property_that_leads_to_what_failed() -> None:
    error = Unreachable("could not connect").at(path="node")
    assert error.at(path="other").located() == "node: could not connect."
    assert Unreachable("could not connect").located() == "could not connect."


def test_an_error_becomes_that_of_an_input_with_all_it_says() -> None:
    error = InputError.because("uri", Refused("no", cause="why", action="do").at(node="qemu:///system"))
    assert error.located() == "uri: no. Cause: why. Next: do. (node qemu:///system)"
