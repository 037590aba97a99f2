from __future__ import annotations

import pytest
from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN
from kiln.platforms.libvirt.settings import SETTINGS, check
from kiln.resources.server.model import ServerInputs


@pytest.mark.parametrize("name", SETTINGS)
def test_every_value_that_a_setting_names_is_allowed(name: str) -> None:
    for value in SETTINGS[name].values or ("anything",):
        check({name: value})
    check({name: UNKNOWN})


@pytest.mark.parametrize("name", SETTINGS)
def test_the_documentation_of_platform_config_names_every_setting(name: str) -> None:
    assert f"`{name}`" in (ServerInputs.model_fields["platform_config"].description or "")


def test_a_value_that_a_setting_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(InputError) as caught:
        check({"machine": "pc", "clock": "sundial"})
    assert caught.value.path == "platformConfig.clock"
    assert "utc, localtime" in str(caught.value)


def test_a_setting_that_is_not_known_is_refused_with_all_that_are() -> None:
    with pytest.raises(InputError) as caught:
        check({"cloc": "utc"})
    assert caught.value.path == "platformConfig.cloc"
    assert all(name in str(caught.value) for name in SETTINGS)
