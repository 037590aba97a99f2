"""libvirt's errors, translated to Kiln's in one function.

libvirtError is known by its shape only (``get_error_code`` and so on), so that this module, and those that look at a
code, need no import of libvirt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kiln.framework.errors import Conflict, DeadlineExceeded, KilnError, NotFound, Refused, Unreachable
from kiln.platforms.libvirt.codes import ErrorCode, ErrorDomain

_ABSENT = frozenset(
    {
        ErrorCode.NO_DOMAIN,
        ErrorCode.NO_NETWORK,
        ErrorCode.NO_STORAGE_POOL,
        ErrorCode.NO_STORAGE_VOL,
        ErrorCode.NO_INTERFACE,
        ErrorCode.NO_DOMAIN_SNAPSHOT,
    }
)
_TAKEN = frozenset({ErrorCode.DOM_EXIST, ErrorCode.NETWORK_EXIST, ErrorCode.STORAGE_VOL_EXIST})
_UNREACHABLE = frozenset(
    {
        ErrorCode.UNKNOWN_HOST,
        ErrorCode.NO_CONNECT,
        ErrorCode.INVALID_CONN,
        ErrorCode.RPC,
        ErrorCode.GNUTLS_ERROR,
        ErrorCode.SSH,
        ErrorCode.LIBSSH,
    }
)
_FORBIDDEN = frozenset(
    {
        ErrorCode.AUTH_FAILED,
        ErrorCode.AUTH_CANCELLED,
        ErrorCode.AUTH_UNAVAILABLE,
        ErrorCode.ACCESS_DENIED,
        ErrorCode.OPERATION_DENIED,
    }
)
_TRANSPORT = frozenset({ErrorDomain.RPC, ErrorDomain.REMOTE, ErrorDomain.SSH, ErrorDomain.LIBSSH})
_EXISTS = re.compile(r"already (exists|in use|defined)|exists already", re.IGNORECASE)
_VAGUE = frozenset({ErrorCode.OPERATION_FAILED, ErrorCode.OPERATION_INVALID, ErrorCode.INTERNAL_ERROR})
# A volume that libvirt still lists and whose file is gone.
_GONE = re.compile(r"unable to open stream for .*no such file or directory", re.IGNORECASE)
# What no format, no file system and no number of libvirt's can hold.
_TOO_LARGE = re.compile(r"file too large|size is too large|exceeds maximum|value too large", re.IGNORECASE)
# The directory of a pool that libvirt looks into again.
_LOST = re.compile(r"cannot open directory .*no such file or directory", re.IGNORECASE)
# A pool or network that somebody stopped.
_STOPPED = re.compile(r"(storage pool|network) '([^']+)' is not active")
_FULL = re.compile(r"no space left|disk quota exceeded|not enough (free )?space", re.IGNORECASE)


def code_of(error: BaseException) -> int | None:
    """The libvirt error number of ``error``, None when it is not an error of libvirt's."""
    read: Any = getattr(error, "get_error_code", None)
    return None if read is None else int(read() or 0)


@contextmanager
def tolerating(*codes: ErrorCode) -> Iterator[None]:
    """Swallow libvirt errors with one of ``codes``."""
    try:
        yield
    except Exception as error:
        if code_of(error) not in codes:
            raise


def broken(error: BaseException) -> bool:
    """Whether a libvirt error means that the connection is of no use any more."""
    code = code_of(error)
    if code is None:
        return False
    read: Any = getattr(error, "get_error_domain", None)
    return code in _UNREACHABLE or (
        code in {ErrorCode.SYSTEM_ERROR, ErrorCode.INTERNAL_ERROR} and read is not None and read() in _TRANSPORT
    )


def unopened(error: BaseException, doing: str, uri: str) -> KilnError:
    """The Kiln error for a connection that could not be opened: whatever the reason, the node does not answer."""
    translated = translate(error, doing, uri)
    if isinstance(translated, Unreachable) or code_of(error) in _FORBIDDEN:
        return translated
    cause = message_of(error)
    return Unreachable(translated.what, cause=cause, action=reach_advice(uri, cause)).at(node=uri)


def translate(error: BaseException, doing: str, uri: str) -> KilnError:
    """The Kiln error for a libvirt error met while ``doing`` ("define guest 'web'") on the node ``uri``.

    Returns:
        NotFound, Conflict, Refused, Unreachable or DeadlineExceeded where libvirt is definite about it, else a
        KilnError.
    """
    what, cause = f"could not {doing}", message_of(error)
    code = code_of(error)
    translated: KilnError
    if broken(error):
        translated = Unreachable(what, cause=cause, action=reach_advice(uri, cause))
    elif code == ErrorCode.SYSTEM_ERROR and _GONE.search(cause):
        translated = NotFound(what, cause=cause, action="look for the file on the node")
    elif code in _ABSENT:
        translated = NotFound(
            what, cause=cause, action=f"look for it on the node: {_LOOK[ErrorCode(code)].format(uri)}"
        )
    elif code in _TAKEN or (code in _VAGUE and _EXISTS.search(cause)):
        translated = Conflict(
            what, cause=cause, action="choose another name, or remove what has the name if it is yours"
        )
    elif _TOO_LARGE.search(cause):
        translated = Refused(what, cause=cause, action="ask for a smaller disk; a file of a pool cannot be that large")
    elif code in _FORBIDDEN:
        translated = KilnError(what, cause=cause, action=_PERMIT)
    elif code == ErrorCode.OPERATION_TIMEOUT:
        translated = DeadlineExceeded(
            what, cause=cause, action="another operation holds the guest; wait for it to end and run again"
        )
    else:
        translated = KilnError(what, cause=cause, action=_advice(cause, uri))
    return translated.at(node=uri)


def message_of(error: BaseException) -> str:
    """libvirt's own words, without the prefix that its Python binding adds."""
    read: Any = getattr(error, "get_error_message", None)
    return str((read() if read is not None else None) or error)


def reach_advice(uri: str, cause: str) -> str:
    """What to do when ``uri`` does not answer."""
    if "fatal signal 6" in cause:
        return "set GRPC_ENABLE_FORK_SUPPORT=0 where pulumi is run: gRPC kills what libvirt starts in this process"
    if any(sign in cause for sign in ("Permission denied", "system bus", "polkit")):
        return _PERMIT + (_OR_SESSION if uri.startswith("qemu:///system") else "")
    if uri.startswith("qemu:///system"):
        return (
            "start libvirtd (systemctl start libvirtd, or `virtlogd -d && libvirtd -d` "
            "where no init system runs)" + _OR_SESSION
        )
    if "+ssh" in uri:
        return f"try `virsh -c '{uri}' version`: ssh must log in without a question and libvirtd must run there"
    return f"try `virsh -c '{uri}' version` and see that libvirtd runs there"


def _advice(cause: str, uri: str) -> str:
    if _FULL.search(cause):
        return "free space in the storage pool, or use another pool, and run again"
    if _LOST.search(cause):
        return "mount what belongs in that directory, or make it, start the pool (virsh pool-start) and run again"
    if (stopped := _STOPPED.search(cause)) is not None:
        verb = "net-start" if stopped[1] == "network" else "pool-start"
        return f"start it (virsh -c '{uri}' {verb} {stopped[2]}) and run again"
    if "Permission denied" in cause:
        return f"let the user that runs guests read the file and enter its directory; `kiln doctor {uri}` shows which"
    if "AMD-V" in cause or "KVM" in cause or "kvm" in cause:
        return "set the node's accelerator to 'tcg', or 'auto' to let Kiln find out"
    return f"run `kiln doctor {uri}` to see what the node lacks"


_PERMIT = (
    "let your user use libvirt: make it a member of the group libvirt, add a polkit rule, "
    "or use an ssh key or a certificate that the node accepts"
)
_OR_SESSION = ", or use qemu:///session for guests of your own without root"
_LOOK = {
    ErrorCode.NO_DOMAIN: "virsh -c '{}' list --all",
    ErrorCode.NO_NETWORK: "virsh -c '{}' net-list --all",
    ErrorCode.NO_STORAGE_POOL: "virsh -c '{}' pool-list --all",
    ErrorCode.NO_STORAGE_VOL: "virsh -c '{}' vol-list POOL",
    ErrorCode.NO_INTERFACE: "virsh -c '{}' iface-list --all",
    ErrorCode.NO_DOMAIN_SNAPSHOT: "virsh -c '{}' snapshot-list GUEST",
}
