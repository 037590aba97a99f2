"""What a program would have to say to get a network as the node has it, drift and all. Pure."""

from __future__ import annotations

from typing import Any

from kiln.framework.errors import KilnError
from kiln.framework.model import alias_of
from kiln.ports.networks import Network, NetworkSettings
from kiln.resources.network.model import Dhcp, DnsHost, NetworkInputs, Reservation
from kiln.resources.network.settings import STATED_IN, default_range, own_address, same, served_by_dhcp, settings_of

_SETTINGS = {"mode": "mode", "bridge": "bridge", **STATED_IN}
_MODES = ("nat", "routed", "isolated", "bridge")


def inputs_now(network: Network, uri: str, known: NetworkInputs | None) -> NetworkInputs:
    """The inputs with every property that drifted replaced by what the network has now: the active one, or else its
    definition.

    Raises:
        KilnError: it has a mode that Kiln has no word for.
    """
    if known is None:
        return _imported(network, uri)
    wanted, seen = settings_of(known), network.live or network.settings
    drift: dict[str, object] = {"node": uri, "mode": _mode(seen)}
    for field, setting in _SETTINGS.items():
        if not same(setting, seen, wanted) and not (field == "bridge" and known.bridge is None):
            drift[field] = _stated(field, seen, wanted)
    if network.autostart != known.autostart and not network.transient:
        drift["autostart"] = network.autostart
    return known.model_copy(update=drift)


def waiting(network: Network) -> list[str]:
    """The properties that an active network will have otherwise when it starts again, because somebody changed only
    its definition or only the active network."""
    live = network.live
    if live is None:
        return []
    fields = [field for field, setting in _SETTINGS.items() if not same(setting, live, network.settings)]
    return [alias_of(NetworkInputs, field) for field in fields]


def _imported(network: Network, uri: str) -> NetworkInputs:
    """What a network that no state knows was made with."""
    seen = network.settings
    own = served_by_dhcp(map(own_address, seen.addresses))
    usual = () if own is None else (default_range(own),)
    bridged = _mode(seen) == "bridge"
    stated = {name: _stated(name, seen, None) or None for name in ("addresses", "reservations", "dns_hosts")}
    return NetworkInputs(
        name=network.name, node=uri, mode=_mode(seen), bridge=seen.bridge if bridged else None, domain=seen.domain,
        dhcp=None if seen.ranges == usual else _stated("dhcp", seen, None), mtu=seen.mtu, autostart=network.autostart,
        **stated,
    )  # fmt: skip


def _stated(field: str, seen: NetworkSettings, wanted: NetworkSettings | None) -> Any:
    """The value of an input that gives what is seen, what was stated in the order in which that was."""
    match field:
        case "mode":
            return _mode(seen)
        case "addresses":
            return list(seen.addresses)
        case "dhcp":
            others = [ends for ends in seen.ranges if wanted is None or ends not in wanted.ranges]
            return Dhcp(start=others[0][0], end=others[0][1]) if others else Dhcp(enabled=False)
        case "reservations":
            kept = [one for one in (wanted.reservations if wanted else ()) if one in seen.reservations]
            entries = [*kept, *(one for one in seen.reservations if one not in kept)]
            return [Reservation(mac=one.mac, address=one.address, hostname=one.hostname) for one in entries]
        case "dns_hosts":
            return [DnsHost(address=one.address, hostnames=list(one.hostnames)) for one in seen.records]
    return getattr(seen, field)


def _mode(seen: NetworkSettings) -> Any:
    if seen.mode == "bridge" and seen.bridge is None:
        raise KilnError(
            "the network plugs guests into a device of the host's that is no bridge, which Kiln does not make",
            cause="it has the forward mode 'bridge' and states no <bridge>",
            action="give it a bridge with virsh net-edit, or leave it to what made it; servers can name it as it is",
        )
    if seen.mode not in _MODES:
        raise KilnError(
            f"the network has the forward mode '{seen.mode}', which Kiln does not make",
            action="give it one of nat, route or bridge, or none, with virsh net-edit, or leave it to what made it",
        )
    return seen.mode
