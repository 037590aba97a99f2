"""Machine types and how many virtual CPUs they take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kiln.framework.errors import InputError
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.facts import Capabilities
from kiln.platforms.libvirt.machines import max_vcpus, without_pci

from tests.unit.platforms.fake_libvirt import FakeError

URI = "qemu:///system"
CAPABILITIES = """<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<machine maxCpus='255' canonical='pc-i440fx-7.2'>pc</machine><machine maxCpus='288'>pc-q35-7.1</machine>
<machine maxCpus='288' canonical='pc-q35-7.2'>q35</machine></arch></guest></capabilities>"""
UNKNOWN = "the machine 'pcx' is not supported by emulator '/usr/bin/qemu-system-x86_64'"


def node(most: int | None, *, error: FakeError | None = None) -> tuple[Opened, list[Any]]:
    asked: list[Any] = []

    def capabilities_of(*arguments: Any) -> str:
        asked.append(arguments)
        if error is not None:
            raise error
        return "<domainCapabilities>" + (f"<vcpu max='{most}'/>" if most else "") + "</domainCapabilities>"

    handle = SimpleNamespace(getDomainCapabilities=capabilities_of, getCapabilities=lambda: CAPABILITIES)
    return cast(Opened, SimpleNamespace(handle=handle)), asked


def host(arch: str = "x86_64", *, kvm: bool = False) -> Capabilities:
    return Capabilities("uuid", arch, (), kvm)


@pytest.mark.parametrize(
    ("arch", "told", "most"), [("x86_64", 288, 255), ("x86_64", 64, 64), ("aarch64", 512, 512), ("x86_64", None, None)]
)
def test_a_guest_has_as_many_cpus_as_the_machine_takes_without_an_iommu(
    arch: str, told: int | None, most: int | None
) -> None:
    assert max_vcpus(node(told)[0], host(arch), URI, {}) == most


def test_the_machine_type_that_is_stated_is_the_one_that_is_asked_for() -> None:
    opened, asked = node(8)
    max_vcpus(opened, host(kvm=True), URI, {"machine": "pc"})
    max_vcpus(opened, host(), URI, {"clock": "utc"})
    assert asked == [(None, "x86_64", "pc", "kvm", 0), (None, "x86_64", "q35", "qemu", 0)]


def test_a_driver_that_cannot_tell_sets_no_limit() -> None:
    opened, _ = node(None, error=FakeError(ErrorCode.NO_SUPPORT))
    assert max_vcpus(opened, host(), URI, {}) is None


def test_a_machine_type_that_is_not_there_is_refused_with_those_that_are() -> None:
    opened, _ = node(None, error=FakeError(ErrorCode.INVALID_ARG, UNKNOWN))
    with pytest.raises(InputError) as caught:
        max_vcpus(opened, host(), URI, {"machine": "pcx"})
    assert caught.value.path == "platformConfig.machine"
    assert caught.value.what == f"'pcx' is not a machine type of /usr/bin/qemu-system-x86_64 on {URI}"
    assert "pc (pc-i440fx-7.2), q35 (pc-q35-7.2)" in (caught.value.action or "")


def test_any_other_error_is_told_as_it_is() -> None:
    opened, _ = node(None, error=FakeError(ErrorCode.RPC, "closed"))
    with pytest.raises(FakeError):
        max_vcpus(opened, host(), URI, {"machine": "pc"})


def test_a_machine_type_without_pci_is_told_by_what_libvirt_says_of_it() -> None:
    fault = without_pci("isapc", "XML error: No PCI buses available")
    assert fault is not None
    assert (fault.path, "isapc" in fault.what) == ("platformConfig.machine", True)
    assert without_pci("pc", "something else") is None
