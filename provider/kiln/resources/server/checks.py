"""What can be seen to be wrong with a Server before anything happens, as far as its inputs are known. Pure."""

from __future__ import annotations

from typing import Any

from kiln.firstboot.documents import check_network_config
from kiln.firstboot.hostname import check_hostname
from kiln.firstboot.userdata import check_user_data
from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN
from kiln.resources import cloning
from kiln.resources.names import check_lines, check_node_path, volume_ref
from kiln.resources.server.growth import check_sizes
from kiln.resources.server.layout import direct_boot
from kiln.resources.server.model import Boot, FirstBoot, Nic, ServerInputs
from kiln.resources.server.storage import wants_seed


def refuse_contradictions(inputs: ServerInputs) -> None:
    """Refuse combinations that cannot work. Raises InputError."""
    if inputs.disk_size is not None and inputs.image is None:
        raise InputError("diskSize", "'diskSize' needs an 'image'", action="set image, or name a Disk in 'disks'")
    if inputs.image is None and inputs.disks is None and inputs.boot is None:
        raise InputError("image", "there is nothing to boot from", action="set 'image', 'disks' or 'boot'")
    cloning.check_size(inputs.disk_size, "qcow2", "diskSize")
    check_sizes(inputs)
    _check_networks(inputs.networks)
    _check_ids(inputs)
    _check_boot(inputs.boot)
    check_lines(inputs.description, "description")
    _check_first_boot(inputs.first_boot)
    _check_wait(inputs)
    if inputs.image is None and isinstance(inputs.boot, Boot):
        direct_boot(inputs.boot, None)


def _check_networks(networks: list[Nic] | None) -> None:
    for index, nic in enumerate(_known_items(networks)):
        if nic.network is not None and nic.bridge is not None:
            raise InputError(f"networks[{index}].bridge", "an interface has a network or a bridge", action="drop one")
    macs = [nic.mac for nic in _known_items(networks)]
    for index, mac in enumerate(macs):
        if mac is not None and mac is not UNKNOWN and mac in macs[:index]:
            path = f"networks[{index}].mac"
            raise InputError(path, f"'{mac}' is the address of two interfaces", action="give each one of its own")


def _check_ids(inputs: ServerInputs) -> None:
    """The ids of volumes must be such."""
    if inputs.image is not None and inputs.image is not UNKNOWN:
        volume_ref(inputs.image, "image")
    for index, id in enumerate(_known_items(inputs.disks)):
        if id is UNKNOWN:
            continue
        volume_ref(id, f"disks[{index}]")
        if id in _known_items(inputs.disks)[:index]:
            raise InputError(f"disks[{index}]", f"the disk '{id}' is named twice", action="name each disk once")


def _check_boot(boot: Boot | None) -> None:
    """Files are named by where they are on the node, and a kind of device has one place in the order."""
    if not isinstance(boot, Boot):
        return
    check_lines(boot.cmdline, "boot.cmdline")
    for name, file in (("kernel", boot.kernel), ("initrd", boot.initrd)):
        if file is not None and file is not UNKNOWN:
            check_node_path(file, f"boot.{name}")
    if boot.initrd is not None and boot.kernel is None:
        raise InputError(
            "boot.initrd",
            "'initrd' needs a 'kernel'",
            cause="an initial RAM disk belongs to one kernel; that of an image is booted with the image's own",
            action="set boot.kernel too, or drop boot.initrd",
        )
    order = _known_items(boot.order)
    for index, kind in enumerate(order):
        if kind is not UNKNOWN and kind in order[:index]:
            raise InputError(f"boot.order[{index}]", f"'{kind}' is named twice", action="name each kind once")


def _check_first_boot(asked: FirstBoot | None) -> None:
    """What the guest is told must be something that it can use."""
    if not isinstance(asked, FirstBoot):
        return
    if asked.hostname is not None and asked.hostname is not UNKNOWN:
        check_hostname(asked.hostname)
    for index, key in enumerate(_known_items(asked.authorized_keys)):
        if key is not UNKNOWN and (len(key.split()) < 2 or "\n" in key.strip() or "\r" in key.strip()):
            raise InputError(
                f"firstBoot.authorizedKeys[{index}]",
                "this is no SSH public key",
                action="write one line for each key, as in a .pub file: type, key, comment",
            )
    if asked.user_data and asked.user_data is not UNKNOWN:
        check_user_data(asked.user_data)
    if asked.network_config is not None and asked.network_config is not UNKNOWN:
        check_network_config(asked.network_config)


def _check_wait(inputs: ServerInputs) -> None:
    """What is waited for must be able to come."""
    if inputs.wait_for == "address" and inputs.networks == []:
        raise InputError("waitFor", "a server without networks gets no address", action="use 'none' or 'firstBoot'")
    if inputs.wait_for == "firstBoot" and not wants_seed(inputs):
        raise InputError(
            "waitFor",
            "there is no first boot to wait for",
            cause="a server made from disks alone is told nothing at its first boot",
            action="set 'firstBoot' (it may be empty), or use 'none' or 'address'",
        )


def _known_items(items: Any) -> list[Any]:
    """A list's items, none when it is left out or not known."""
    return items if isinstance(items, list) else []
