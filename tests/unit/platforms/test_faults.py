"""libvirt's errors in Kiln's words."""

from __future__ import annotations

import libvirt
import pytest
from kiln.framework.errors import Conflict, DeadlineExceeded, KilnError, NotFound, Refused, Unreachable
from kiln.platforms.libvirt import codes
from kiln.platforms.libvirt.codes import ErrorCode, ErrorDomain
from kiln.platforms.libvirt.faults import code_of, message_of, tolerating, translate, unopened

from tests.unit.platforms.fake_libvirt import FakeError

PREFIXES = {
    "ErrorCode": "VIR_ERR_",
    "ErrorDomain": "VIR_FROM_",
    "DomainState": "VIR_DOMAIN_",
    "ShutoffReason": "VIR_DOMAIN_SHUTOFF_",
    "Affect": "VIR_DOMAIN_AFFECT_",
    "DomainXml": "VIR_DOMAIN_XML_",
    "DomainCreate": "VIR_DOMAIN_START_",
    "DomainDefine": "VIR_DOMAIN_DEFINE_",
    "DomainUndefine": "VIR_DOMAIN_UNDEFINE_",
    "DomainMetadata": "VIR_DOMAIN_METADATA_",
    "BlockResize": "VIR_DOMAIN_BLOCK_RESIZE_",
    "BlockCopy": "VIR_DOMAIN_BLOCK_COPY_",
    "BlockJobAbort": "VIR_DOMAIN_BLOCK_JOB_ABORT_",
    "AddressSource": "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_",
    "ListDomains": "VIR_CONNECT_LIST_DOMAINS_",
    "DomainStats": "VIR_DOMAIN_STATS_",
    "NetworkXml": "VIR_NETWORK_XML_",
    "NetworkUpdate": "VIR_NETWORK_UPDATE_COMMAND_",
    "NetworkSection": "VIR_NETWORK_SECTION_",
    "PoolCreate": "VIR_STORAGE_POOL_CREATE_",
    "ListPools": "VIR_CONNECT_LIST_STORAGE_POOLS_",
    "StreamFlag": "VIR_STREAM_",
    "StreamEvent": "VIR_STREAM_EVENT_",
    "ConsoleFlag": "VIR_DOMAIN_CONSOLE_",
    "Credential": "VIR_CRED_",
    "SnapshotXml": "VIR_DOMAIN_SNAPSHOT_XML_",
    "SnapshotCreate": "VIR_DOMAIN_SNAPSHOT_CREATE_",
}
SPELLED_OTHERWISE = {
    "VolumeStream.SPARSE": "VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM",
    "DomainShutdown.ACPI": "VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN",
    "NetworkSection.DHCP_HOST": "VIR_NETWORK_SECTION_IP_DHCP_HOST",
    "NetworkSection.DHCP_RANGE": "VIR_NETWORK_SECTION_IP_DHCP_RANGE",
    "DomainShutdown.AGENT": "VIR_DOMAIN_SHUTDOWN_GUEST_AGENT",
}
NUMBERS = [
    (f"{kind.__name__}.{member.name}", int(member))
    for kind in vars(codes).values()
    if isinstance(kind, type) and kind.__module__ == codes.__name__
    for member in kind  # type: ignore[attr-defined]
]


@pytest.mark.parametrize(("name", "number"), NUMBERS, ids=[name for name, _ in NUMBERS])
def test_a_number_is_libvirts_own(name: str, number: int) -> None:
    kind, _, member = name.partition(".")
    assert number == getattr(libvirt, SPELLED_OTHERWISE.get(name) or f"{PREFIXES[kind]}{member}")


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (ErrorCode.NO_DOMAIN, "no domain with matching name 'x'", NotFound),
        (ErrorCode.NO_STORAGE_POOL, "no storage pool with matching name 'x'", NotFound),
        (ErrorCode.NO_STORAGE_VOL, "no storage vol with matching name 'x'", NotFound),
        (ErrorCode.NO_NETWORK, "no network with matching name 'x'", NotFound),
        (ErrorCode.NO_DOMAIN_SNAPSHOT, "no domain snapshot with matching name 'x'", NotFound),
        (ErrorCode.SYSTEM_ERROR, "Unable to open stream for '/p/x': No such file or directory", NotFound),
        (ErrorCode.STORAGE_VOL_EXIST, "storage volume 'x' exists already", Conflict),
        (ErrorCode.DOM_EXIST, "domain 'x' exists", Conflict),
        (ErrorCode.OPERATION_FAILED, "domain 'x' already exists with uuid 1-2-3", Conflict),
        (ErrorCode.OPERATION_INVALID, "volume target path '/p/x' already exists", Conflict),
        (ErrorCode.NO_CONNECT, "no connection driver available", Unreachable),
        (ErrorCode.RPC, "connection closed", Unreachable),
        (ErrorCode.OPERATION_TIMEOUT, "cannot acquire state change lock", DeadlineExceeded),
    ],
)
def test_a_definite_error_has_a_kind_of_its_own(code: ErrorCode, message: str, kind: type[KilnError]) -> None:
    error = translate(FakeError(code, message), "do it", "qemu:///system")
    assert type(error) is kind
    assert error.what == "could not do it"
    assert (error.cause, error.node) == (message, "qemu:///system")
    assert error.action


@pytest.mark.parametrize(
    ("code", "message", "action"),
    [
        (ErrorCode.AUTH_FAILED, "authentication failed", "group libvirt"),
        (ErrorCode.ACCESS_DENIED, "access denied", "polkit"),
        (ErrorCode.SYSTEM_ERROR, "cannot write data to file '/p/x': No space left on device", "free space"),
        (ErrorCode.INTERNAL_ERROR, "Could not open '/root/x': Permission denied", "enter its directory"),
        (ErrorCode.CONFIG_UNSUPPORTED, "Emulator does not support virt type 'kvm'", "tcg"),
        (ErrorCode.OPERATION_INVALID, "storage pool 'kiln' is not active", "pool-start kiln)"),
        (ErrorCode.OPERATION_INVALID, "network 'lab' is not active", "net-start lab)"),
        (ErrorCode.SYSTEM_ERROR, "cannot open directory '/p': No such file or directory", "mount what belongs"),
        (ErrorCode.INTERNAL_ERROR, "something odd", "kiln doctor"),
        (ErrorCode.OPERATION_INVALID, "domain is already running", "kiln doctor"),
    ],
)
def test_any_other_error_says_what_to_do_and_is_of_no_kind_that_changes_a_state(
    code: ErrorCode, message: str, action: str
) -> None:
    error = translate(FakeError(code, message), "do it", "qemu:///system")
    assert type(error) is KilnError
    assert error.action is not None
    assert action in error.action


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (ErrorCode.SYSTEM_ERROR, "cannot extend file '/p/x': File too large"),
        (ErrorCode.INTERNAL_ERROR, "qemu-img: /p/x: The image size is too large for file format 'qcow2'"),
        (ErrorCode.INTERNAL_ERROR, "Could not resize image: offset(9223372036854774784) exceeds maximum(92)"),
        (ErrorCode.INTERNAL_ERROR, "numerical overflow: value too large: 18445618173802708992"),
    ],
)
def test_a_size_that_no_file_can_have_is_refused(code: ErrorCode, message: str) -> None:
    error = translate(FakeError(code, message), "make volume 'x'", "qemu:///system")
    assert type(error) is Refused
    assert "smaller" in (error.action or "")


def test_a_child_that_grpc_killed_is_told_with_the_way_around() -> None:
    error = FakeError(ErrorCode.INTERNAL_ERROR, "Child process (ssh) unexpected fatal signal 6")
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in (unopened(error, "connect", "qemu:///session").action or "")


@pytest.mark.parametrize("code", [ErrorCode.SYSTEM_ERROR, ErrorCode.INTERNAL_ERROR])
def test_where_an_error_comes_from_tells_a_broken_connection(code: ErrorCode) -> None:
    broken = FakeError(code, "client socket is closed", ErrorDomain.RPC)
    assert isinstance(translate(broken, "do it", "qemu:///system"), Unreachable)
    whole = FakeError(code, "client socket is closed", 10)
    assert not isinstance(translate(whole, "do it", "qemu:///system"), Unreachable)


def test_advice_for_an_unreachable_node_fits_how_it_is_reached() -> None:
    error = FakeError(ErrorCode.NO_CONNECT, "Failed to connect socket")
    assert "qemu:///session" in str(translate(error, "connect", "qemu:///system"))
    assert "libvirtd -d" in str(translate(error, "connect", "qemu:///system"))
    assert "ssh must log in" in str(translate(error, "connect", "qemu+ssh://h/system"))
    assert "virsh -c" in str(translate(error, "connect", "qemu://h/system"))
    denied = FakeError(ErrorCode.NO_CONNECT, "Failed to connect socket: Permission denied")
    assert "group libvirt" in str(translate(denied, "connect", "qemu:///system"))


def test_only_the_errors_that_are_named_are_tolerated() -> None:
    with tolerating(ErrorCode.NO_DOMAIN):
        raise FakeError(ErrorCode.NO_DOMAIN)
    with pytest.raises(FakeError), tolerating(ErrorCode.NO_DOMAIN):
        raise FakeError(ErrorCode.RPC)
    with pytest.raises(ValueError, match="mine"), tolerating(ErrorCode.NO_DOMAIN):
        raise ValueError("mine")


def test_a_real_error_of_libvirts_is_known_by_its_shape() -> None:
    error = libvirt.libvirtError("virThing() failed")
    error.err = (int(ErrorCode.NO_DOMAIN), 10, "no domain", 2, "", "", "", -1, -1)
    assert code_of(error) == ErrorCode.NO_DOMAIN
    assert message_of(error) == "no domain"
    assert code_of(ValueError("x")) is None
