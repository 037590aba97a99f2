"""Server: a guest that states everything it can, and waits for its first boot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kiln.firstboot.metadata import TOKEN
from kiln.framework.context import Context
from kiln.framework.model import Impact
from kiln.ports.domains import Address, DomainNic
from kiln.ports.networks import Network
from kiln.ports.volumes import VolumeRef
from kiln.resources import leftovers
from kiln.resources.server import Server
from kiln.resources.server.storage import instance_id

from tests.conformance.case import Case, Change, Drift, Stumble
from tests.conformance.cases.place import PLACE
from tests.conformance.world import URI, World
from tests.fakes.memory_domains import MemoryGuest

NIC = {"network": "default", "mac": "52:54:00:00:00:07", "model": "e1000", "linkState": "up"}
BOOT = {"kernel": "/boot/kernel", "initrd": "/boot/initrd", "cmdline": "quiet", "order": ["hd"]}
FIRST_BOOT = {
    "hostname": "first",
    "user": "admin",
    "password": "sesame-sesame",
    "authorizedKeys": ["ssh-ed25519 AAAA one"],
    "userData": "#cloud-config\npackages: [secret-package]\n",
    "networkConfig": "version: 2\n",
    "metadata": {"role": "db"},
}
OVERLAY: list[dict[str, Any]] = [
    {"xpath": "/domain", "xml": "<memoryBacking><hugepages/></memoryBacking>"},
    {"xpath": "/domain/devices/rng", "attribute": {"name": "model", "value": "virtio-transitional"}},
    {"xpath": "/domain/features/vmport", "remove": True},
]
KILN_ONLY = "what Kiln does, which is in the state alone"
DERIVED = "the definition holds what followed from it and from the node or the image, and not what was asked for"


def verdict(guest: MemoryGuest) -> bytes:
    return f"\r\n{TOKEN} {instance_id(guest.domain.uuid)} done\r\n".encode()


def boots(guest: MemoryGuest) -> None:
    guest.says = verdict(guest)
    guest.addresses = [Address("52:54:00:00:00:07", "192.0.2.7", 24, "lease")]


def panics(guest: MemoryGuest) -> None:
    guest.says = b"Kernel panic - not syncing: VFS\r\n"


def prepare(world: World) -> dict[str, Any]:
    for name in ("base", "other"):
        world.create("Image", name, source=world.raw(name))
    world.create("Disk", "data", size="1MiB")
    world.create("Disk", "cd", source=world.iso())
    world.here.networks.known.append(Network("lab", active=True, bridge="virbr1", dhcp=True))
    world.here.domains.newborn = boots
    return {
        "name": "it",
        "node": URI,
        "pool": "kiln",
        "image": "kiln/base",
        "diskSize": "8MiB",
        "disks": ["kiln/data", "kiln/cd"],
        "memory": "64MiB",
        "maxMemory": "256MiB",
        "vcpus": 2,
        "maxVcpus": 4,
        "cpuMode": "maximum",
        "networks": [NIC],
        "firmware": "efi",
        "boot": BOOT,
        "firstBoot": FIRST_BOOT,
        "onFirstBootChange": "replace",
        "powerState": "running",
        "autostart": True,
        "graphics": "vnc",
        "waitFor": "firstBoot",
        "waitTimeout": 30,
        "shutdownTimeout": 5,
        "restartPolicy": "allowed",
        "description": "the first",
        "platformConfig": {"machine": "q35"},
        "xmlOverlay": OVERLAY,
    }


def told_otherwise(property: str, value: Any) -> Change:
    return Change({"firstBoot": {**FIRST_BOOT, property: value}}, Impact.REPLACE, (f"firstBoot.{property}",))


def wired_otherwise(*paths: str, **nic: str) -> Change:
    return Change(
        {"networks": [{"linkState": "up", **nic}]}, Impact.LIVE, tuple(f"networks[0].{path}" for path in paths)
    )


def booted_otherwise(path: str, property: str, value: Any) -> Change:
    return Change({"boot": {**BOOT, property: value}}, Impact.RESTART, (path,))


def overlaid_otherwise(index: int, path: str, **entry: Any) -> Change:
    changed = [*OVERLAY[:index], {**OVERLAY[index], **entry}, *OVERLAY[index + 1 :]]
    return Change({"xmlOverlay": changed}, Impact.RESTART, (f"xmlOverlay[{index}].{path}",))


# --- what happens behind Kiln's back ---------------------------------------------------------------------------------


def gets_memory(world: World, id: str) -> None:
    world.change_guest(id, memory=128 << 10, current_memory=128 << 10)


def loses_a_cpu(world: World, id: str) -> None:
    guest = world.here.domains.guests[id]
    guest.domain = replace(guest.domain, current_vcpus=1)
    guest.live = None if guest.live is None else replace(guest.live, vcpus=1)


def can_get_more_memory(world: World, id: str) -> None:
    world.change_guest(id, max_memory=512 << 10)


def can_get_more_cpus(world: World, id: str) -> None:
    guest = world.here.domains.guests[id]
    guest.domain = replace(guest.domain, vcpus=8)
    guest.live = None if guest.live is None else replace(guest.live, max_vcpus=8)


def is_kept_from_starting(world: World, id: str) -> None:
    world.change_guest(id, autostart=False)


def is_described(world: World, id: str) -> None:
    world.change_guest(id, description="theirs")


def crashes(world: World, id: str) -> None:
    world.here.domains.play(id, "crashed")


def is_paused(world: World, id: str) -> None:
    world.here.domains.play(id, "paused")


def loses_a_disk(world: World, id: str) -> None:
    world.here.domains.detach_disk(Context(), id, "vdb")


def loses_its_screen(world: World, id: str) -> None:
    world.change_guest(id, graphics="none")


def loses_its_root(world: World, id: str) -> None:
    world.here.volumes.delete(Context(), VolumeRef("kiln", "it-root"))


def has_a_smaller_root(world: World, id: str) -> None:
    volumes = world.here.volumes
    root = volumes.get(Context(), VolumeRef("kiln", "it-root"))
    volumes._put(replace(root, virtual_size=4 << 20))


def has_a_larger_root(world: World, id: str) -> None:
    world.here.volumes.grow(Context(), VolumeRef("kiln", "it-root"), 32 << 20)


def is_wired_otherwise(world: World, id: str) -> None:
    world.change_guest(id, nics=(DomainNic(NIC["mac"], "network", "lab", NIC["model"]),))


def gets_another_card(world: World, id: str) -> None:
    world.change_guest(id, nics=(DomainNic("52:54:00:00:00:09", "network", NIC["network"], "virtio"),))


def has_its_cable_pulled(world: World, id: str) -> None:
    world.change_guest(id, nics=(DomainNic(NIC["mac"], "network", NIC["network"], NIC["model"], link="down"),))


def loses_its_card(world: World, id: str) -> None:
    world.change_guest(id, nics=())


def loses_an_element(world: World, id: str) -> None:
    guest = world.here.domains.guests[id]
    guest.overlay = guest.overlay[1:]


def is_undefined(world: World, id: str) -> None:
    world.here.domains.destroy(Context(), id)
    world.here.domains.undefine(Context(), id)


def is_cleared_away(world: World) -> None:
    """What `kiln gc --state … --yes` does."""
    for item in leftovers.find(Context(), world.here, "kiln", {"kiln/base", "kiln/other", "kiln/data", "kiln/cd"}):
        item.remove(Context())


# --- a create that is not finished -----------------------------------------------------------------------------------


def guests_panic(world: World) -> None:
    world.here.domains.newborn = panics


def boots_after_all(world: World, id: str) -> None:
    guest = world.here.domains.guests[id]
    boots(guest)
    guest.console = guest.says


SERVER = Case(
    name="server",
    resource=Server,
    prepare=prepare,
    changes=(
        *PLACE,
        Change({"image": "kiln/other"}, Impact.REPLACE),
        Change({"diskSize": "16MiB"}, Impact.LIVE),
        Change({"diskSize": "8192KiB"}, None),
        Change({"disks": ["kiln/data"]}, Impact.LIVE, ("disks[1]",)),
        Change({"memory": "128MiB"}, Impact.RESTART),
        Change({"memory": "192MiB"}, Impact.LIVE),
        Change({"maxMemory": "512MiB"}, Impact.RESTART),
        Change({"maxMemory": None}, Impact.RESTART),
        Change({"vcpus": 1}, Impact.RESTART),
        Change({"vcpus": 4}, Impact.LIVE),
        Change({"maxVcpus": 8}, Impact.RESTART),
        Change({"maxVcpus": None}, Impact.RESTART),
        Change({"cpuMode": "auto"}, Impact.RESTART),
        wired_otherwise("network", network="lab", mac=NIC["mac"], model="e1000"),
        wired_otherwise("network", "bridge", bridge="virbr0", mac=NIC["mac"], model="e1000"),
        wired_otherwise("mac", network="default", mac="52:54:00:00:00:08", model="e1000"),
        wired_otherwise("model", network="default", mac=NIC["mac"], model="virtio"),
        wired_otherwise("linkState", network="default", mac=NIC["mac"], model="e1000", linkState="down"),
        Change({"firmware": "bios"}, Impact.REPLACE),
        booted_otherwise("boot.kernel", "kernel", "/boot/kernel-2"),
        booted_otherwise("boot.initrd", "initrd", "/boot/initrd-2"),
        booted_otherwise("boot.cmdline", "cmdline", "debug"),
        booted_otherwise("boot.order[0]", "order", ["cdrom"]),
        told_otherwise("hostname", "second"),
        told_otherwise("user", "root"),
        told_otherwise("password", "mellon-mellon"),
        Change(
            {"firstBoot": {**FIRST_BOOT, "authorizedKeys": ["ssh-ed25519 AAAA two"]}},
            Impact.REPLACE,
            ("firstBoot.authorizedKeys[0]",),
        ),
        told_otherwise("userData", "#cloud-config\n{}\n"),
        told_otherwise("networkConfig", "version: 1\nconfig: []\n"),
        Change(
            {"firstBoot": {**FIRST_BOOT, "metadata": {"role": "web"}}},
            Impact.REPLACE,
            ("firstBoot.metadata.role",),
            about=("firstBoot.metadata",),
        ),
        Change({"onFirstBootChange": "ignore"}, Impact.LIVE),
        Change({"powerState": "stopped"}, Impact.LIVE),
        Change({"autostart": False}, Impact.LIVE),
        Change({"graphics": "none"}, Impact.RESTART),
        Change({"waitFor": "none"}, Impact.LIVE),
        Change({"waitTimeout": 60}, Impact.LIVE),
        Change({"shutdownTimeout": 60}, Impact.LIVE),
        Change({"restartPolicy": "deferred"}, Impact.LIVE),
        Change({"description": None}, Impact.LIVE),
        overlaid_otherwise(0, "xpath", xpath="/domain/devices"),
        overlaid_otherwise(0, "xml", xml="<memoryBacking/>"),
        overlaid_otherwise(1, "attribute.name", attribute={"name": "other", "value": "virtio-transitional"}),
        overlaid_otherwise(1, "attribute.value", attribute={"name": "model", "value": "virtio"}),
        Change({"xmlOverlay": OVERLAY[:2]}, Impact.RESTART, ("xmlOverlay[2]",), about=("xmlOverlay.remove",)),
        Change({"platformConfig": {"machine": "pc"}}, Impact.RESTART, ("platformConfig.machine",), ("platformConfig",)),
    ),
    drifts=(
        Drift("memory", gets_memory, "128MiB"),
        Drift("vcpus", loses_a_cpu, 1),
        Drift("maxMemory", can_get_more_memory, "512MiB"),
        Drift("maxVcpus", can_get_more_cpus, 8),
        Drift("autostart", is_kept_from_starting, False),
        Drift("description", is_described, "theirs"),
        Drift("powerState", crashes, "stopped"),
        Drift("powerState", is_paused, "stopped"),
        Drift("disks", loses_a_disk, ["kiln/cd"]),
        Drift("graphics", loses_its_screen, "none"),
        Drift("xmlOverlay", loses_an_element, [{"xpath": "/domain"}, *OVERLAY[1:]]),
        Drift("image", loses_its_root, None),
        Drift("diskSize", has_a_smaller_root, "4MiB"),
        Drift("diskSize", has_a_larger_root, "32MiB", refused="cannot shrink from 32MiB"),
        Drift("networks", is_wired_otherwise, [{**NIC, "network": "lab"}]),
        Drift("networks", gets_another_card, [{**NIC, "mac": "52:54:00:00:00:09", "model": "virtio"}]),
        Drift("networks", has_its_cable_pulled, [{**NIC, "linkState": "down"}]),
        Drift("networks", loses_its_card, []),
    ),
    unseen={
        "name": "the output `renamed` tells another one, since a default name would follow it",
        "node": "how the machine is reached",
        "pool": "where its volumes were made",
        "cpuMode": DERIVED,
        "firmware": "to repair it would replace the guest and its root disk",
        "boot": DERIVED,
        "platformConfig": DERIVED,
        "firstBoot": "the guest was told it once",
        "onFirstBootChange": KILN_ONLY,
        "waitFor": KILN_ONLY,
        "waitTimeout": KILN_ONLY,
        "shutdownTimeout": KILN_ONLY,
        "restartPolicy": KILN_ONLY,
    },
    import_id="it",
    untold={
        "xmlOverlay": "the definition does not say which of its elements Kiln did not write by itself",
        "firstBoot": "the guest was told it once, and its seed is gone",
        "onFirstBootChange": KILN_ONLY,
        "waitFor": KILN_ONLY,
        "waitTimeout": KILN_ONLY,
        "shutdownTimeout": KILN_ONLY,
    },
    vanishes=is_undefined,
    orphan=is_cleared_away,
    stumble=Stumble(guests_panic, "panicked: VFS", boots_after_all),
    secrets=("sesame-sesame", "secret-package"),
)


# --- one that is not to be restarted ---------------------------------------------------------------------------------


def prepare_unstopped(world: World) -> dict[str, Any]:
    return {**prepare(world), "restartPolicy": "deferred"}


UNSTOPPED = replace(
    SERVER,
    name="server-deferred",
    prepare=prepare_unstopped,
    changes=tuple(
        replace(change, impact=Impact.DEFERRED) if change.impact is Impact.RESTART else change
        for change in SERVER.changes
        if "restartPolicy" not in change.inputs
    ),
    drifts=tuple(drift for drift in SERVER.drifts if drift.property != "name"),
    unseen={**SERVER.unseen, "name": "a guest that runs is not renamed back, and that waits"},
    untold={**SERVER.untold, "restartPolicy": KILN_ONLY},
)
