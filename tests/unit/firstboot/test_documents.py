"""What cloud-init would drop is refused before."""

from __future__ import annotations

import pytest
from kiln.firstboot.documents import check_network_config
from kiln.firstboot.userdata import check_user_data
from kiln.framework.errors import InputError

VERSION_1 = "network:\n  version: 1\n  config:\n  - type: physical\n    name: eth0\n"
VERSION_2 = "version: 2\nethernets:\n  all: {match: {name: e*}, dhcp4: true}\n"


@pytest.mark.parametrize(
    "text",
    [
        VERSION_1,
        VERSION_2,
        '{"version": 2, "ethernets": {}}',
        "version: 1\nconfig: []\n",
        "network: {config: disabled}\n",
        "config: disabled\n",
    ],
)
def test_what_cloud_init_takes_as_a_network_configuration_passes(text: str) -> None:
    check_network_config(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: [2", "valid YAML (line 1"),
        ("version: 2\nethernets:\n\teth0: {}\n", "valid YAML (line 3, column 1)"),
        ("a: 2024-99-99", "valid YAML"),
        ("[" * 5000, "valid YAML"),
        ("a: !!python/object:os.system {}", "valid YAML"),
        ("", "not a mapping"),
        ("dhcp", "not a mapping"),
        ("- version: 2", "not a mapping"),
        ("ethernets: {}", "version"),
        ("version: 3", "version"),
        ("version: '2'", "version"),
        ("version: 1\nethernets: {}", "no list 'config'"),
        ("network: {ethernets: {}}", "version"),
    ],
)
def test_what_is_no_network_configuration_is_refused_at_its_property(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_network_config(text)
    assert caught.value.path == "firstBoot.networkConfig"
    assert words in str(caught.value)
    assert caught.value.action


@pytest.mark.parametrize(
    "text",
    [
        "#cloud-config\n",
        "#cloud-config\npackages: [vim]\n",
        "#Cloud-Config \na: 1\n",
        "#cloud-config-archive\n- type: text/x-shellscript\n",
        "## template: jinja\n#cloud-config\na: {{ v1 }}\n",
        "#!/bin/sh\na: b: c\n",
        "Content-Type: multipart/mixed\nMIME-Version: 1.0\n\n#cloud-config\na: b: c\n",
    ],
)
def test_user_data_that_cloud_init_reads_passes(text: str) -> None:
    check_user_data(text)


@pytest.mark.parametrize("text", [f"#cloud-config\n{text}" for text in ("a: sesame: b\n", "- sesame\n", "*sesame")])
def test_a_cloud_config_that_would_be_ignored_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(InputError) as caught:
        check_user_data(text)
    assert caught.value.path == "firstBoot.userData"
    assert "ignore" in str(caught.value)
    assert "sesame" not in str(caught.value)
