"""The provider's own URI: resolved once, and refused where it cannot be one."""

from __future__ import annotations

import pytest
from kiln.app import KilnProvider, ProviderConfig
from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN


def checked(config: ProviderConfig) -> ProviderConfig:
    return KilnProvider().check_config(Context(), config, None)


@pytest.mark.parametrize(
    ("uri", "words"), [("web", "qemu:///system"), ("qemu+tcp://h/system", "allowInsecureTransport")]
)
def test_what_cannot_be_used_is_refused_at_uri(uri: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(ProviderConfig(uri=uri))
    assert caught.value.path == "uri"
    assert words in str(caught.value)


def test_a_uri_from_the_environment_is_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "web")
    with pytest.raises(InputError, match="'web' is not a libvirt URI"):
        checked(ProviderConfig())


def test_what_is_allowed_or_not_known_yet_passes() -> None:
    assert (
        checked(ProviderConfig(uri="qemu+tcp://h/system", allow_insecure_transport=True)).uri == "qemu+tcp://h/system"
    )
    assert checked(ProviderConfig.model_construct(uri=UNKNOWN, allow_insecure_transport=False)).uri is UNKNOWN
