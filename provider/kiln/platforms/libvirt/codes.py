"""Names for the numbers of libvirt's stable interface that Kiln uses.

They are written out so that nothing but ``connection`` needs the libvirt module, whose import is slow and which is not
there on a machine that only reads a schema. A unit test compares each with the module's own constant.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class ErrorCode(IntEnum):
    """``virErrorNumber``, in libvirt's order; names without ``VIR_ERR_``."""

    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    UNKNOWN_HOST = 4
    NO_CONNECT = 5
    INVALID_CONN = 6
    INVALID_ARG = 8
    OPERATION_FAILED = 9
    XML_ERROR = 27
    DOM_EXIST = 28
    OPERATION_DENIED = 29
    NETWORK_EXIST = 37
    SYSTEM_ERROR = 38
    RPC = 39
    GNUTLS_ERROR = 40
    NO_DOMAIN = 42
    NO_NETWORK = 43
    AUTH_FAILED = 45
    NO_STORAGE_POOL = 49
    NO_STORAGE_VOL = 50
    OPERATION_INVALID = 55
    NO_INTERFACE = 57
    CONFIG_UNSUPPORTED = 67
    OPERATION_TIMEOUT = 68
    NO_DOMAIN_SNAPSHOT = 72
    ARGUMENT_UNSUPPORTED = 74
    AUTH_CANCELLED = 79
    NO_DOMAIN_METADATA = 80
    OPERATION_UNSUPPORTED = 84
    SSH = 85
    AGENT_UNRESPONSIVE = 86
    ACCESS_DENIED = 88
    STORAGE_VOL_EXIST = 90
    AUTH_UNAVAILABLE = 94
    LIBSSH = 98
    DEVICE_MISSING = 99


class ErrorDomain(IntEnum):
    """``virErrorDomain``: the part of libvirt an error comes from."""

    RPC = 7
    REMOTE = 13
    STREAMS = 38
    LIBSSH = 66
    SSH = 50


class DomainState(IntEnum):
    """``virDomainState``."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class ShutoffReason(IntEnum):
    """``virDomainShutoffReason``."""

    CRASHED = 3
    SAVED = 5
    FAILED = 6


class Affect(IntFlag):
    """``virDomainModificationImpact``, also valid as ``virDomainDeviceModifyFlags``."""

    LIVE = 1
    CONFIG = 2


class DomainXml(IntFlag):
    """``virDomainXMLFlags``."""

    SECURE = 1
    INACTIVE = 2


class DomainDefine(IntFlag):
    """``virDomainDefineFlags``."""

    VALIDATE = 1


class DomainCreate(IntFlag):
    """``virDomainCreateFlags``."""

    PAUSED = 1
    AUTODESTROY = 2


class DomainShutdown(IntFlag):
    """``virDomainShutdownFlagValues``."""

    ACPI = 1
    AGENT = 2


class DomainUndefine(IntFlag):
    """``virDomainUndefineFlagsValues``."""

    MANAGED_SAVE = 1
    SNAPSHOTS_METADATA = 2
    NVRAM = 4
    CHECKPOINTS_METADATA = 16
    TPM = 32


class DomainMetadata(IntEnum):
    """``virDomainMetadataType``."""

    DESCRIPTION = 0
    ELEMENT = 2


class SnapshotXml(IntFlag):
    """``virDomainSnapshotXMLFlags``."""

    SECURE = 1


class SnapshotCreate(IntFlag):
    """``virDomainSnapshotCreateFlags``."""

    REDEFINE = 1
    CURRENT = 2


class BlockResize(IntFlag):
    """``virDomainBlockResizeFlags``."""

    BYTES = 1


class BlockCopy(IntFlag):
    """``virDomainBlockCopyFlags``."""

    REUSE_EXT = 2
    TRANSIENT_JOB = 4


class BlockJobAbort(IntFlag):
    """``virDomainBlockJobAbortFlags``."""

    PIVOT = 2


class AddressSource(IntEnum):
    """``virDomainInterfaceAddressesSource``."""

    LEASE = 0
    AGENT = 1
    ARP = 2


class ListDomains(IntFlag):
    """``virConnectListAllDomainsFlags``."""

    ACTIVE = 1
    TRANSIENT = 8
    MANAGEDSAVE = 256
    AUTOSTART = 1024


class DomainStats(IntFlag):
    """``virDomainStatsTypes``."""

    STATE = 1


class NetworkXml(IntFlag):
    """``virNetworkXMLFlags``."""

    INACTIVE = 1


class NetworkUpdate(IntEnum):
    """``virNetworkUpdateCommand``."""

    DELETE = 2
    ADD_LAST = 3


class NetworkSection(IntEnum):
    """``virNetworkUpdateSection``."""

    DHCP_HOST = 4
    DHCP_RANGE = 5
    DNS_HOST = 10


class PoolCreate(IntFlag):
    """``virStoragePoolCreateFlags``."""

    WITH_BUILD = 1


class ListPools(IntFlag):
    """``virConnectListAllStoragePoolsFlags``."""

    ACTIVE = 2


class VolumeStream(IntFlag):
    """``virStorageVolUploadFlags`` and ``virStorageVolDownloadFlags``."""

    SPARSE = 1


class StreamFlag(IntFlag):
    """``virStreamFlags`` and ``virStreamRecvFlagsValues``."""

    NONBLOCK = 1


class StreamEvent(IntFlag):
    """``virStreamEventType``."""

    READABLE = 1
    ERROR = 4
    HANGUP = 8


class ConsoleFlag(IntFlag):
    """``virDomainConsoleFlags``."""

    FORCE = 1


class Credential(IntEnum):
    """``virConnectCredentialType``."""

    AUTHNAME = 2
    PASSPHRASE = 5
