"""What a Server can be asked for and what it tells. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.units import Size, multiple_of
from kiln.resources.names import Mac, Name, Text

Memory = Annotated[Size, AfterValidator(multiple_of(1024, "a whole number of KiB"))]
DiskSize = Annotated[Size, AfterValidator(multiple_of(512, "a whole number of 512-byte sectors"))]

BootKind = Literal["cdrom", "hd", "network"]
CpuMode = Literal["auto", "host-passthrough", "host-model", "maximum"]

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")


def _keys(values: dict[str, str]) -> dict[str, str]:
    for key in values:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot be a key: use letters, digits, '_', '.', ':' and '-'")
    return values


def _password(text: str) -> str:
    size = len(text.encode(errors="replace"))
    if not 1 <= size <= 512 or any(character in "\0\r\n" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("this cannot be a password; use 1 to 512 bytes without a line break or NUL")
    return text


def _user(text: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text):
        raise ValueError(f"{text!r} is not a user name: use up to 32 small letters, digits, '_' and '-'")
    return text


def _at_least_one(count: int) -> int:
    if count < 1:
        raise ValueError(f"{count} is too few; use at least 1")
    return count


class Nic(Model):
    """A network interface."""

    network: Name | None = prop("Name of the libvirt network it is connected to.", impact=Impact.LIVE)
    bridge: Name | None = prop("Name of the host bridge it is connected to, instead of a network.", impact=Impact.LIVE)
    mac: Mac | None = prop(
        "MAC address.",
        impact=Impact.LIVE,
        default_doc="derived from the server's UUID, so that it never changes",
    )
    model: Literal["virtio", "e1000", "e1000e", "rtl8139"] = prop(
        "Device model that the guest sees.", default="virtio", impact=Impact.LIVE
    )
    link_state: Literal["up", "down"] = prop(
        "Whether the interface's cable is plugged in, as the guest sees it.", default="up", impact=Impact.LIVE
    )


class Boot(Model):
    """What the guest boots from."""

    kernel: str | None = prop(
        "Path on the node of a kernel to boot directly.",
        impact=Impact.RESTART,
        default_doc="the image's kernel, if any",
    )
    initrd: str | None = prop(
        "Path on the node of the initial RAM disk of `kernel`, which is stated with it.", impact=Impact.RESTART
    )
    cmdline: Text | None = prop(
        "Command line of `kernel`, or of the image's kernel, if it brings one, in place of the image's.",
        impact=Impact.RESTART,
    )
    order: list[BootKind] | None = prop(
        "Kinds of devices in the order in which the firmware tries them.",
        impact=Impact.RESTART,
        default_doc="CDs and then hard disks in disk order when a CD is there, else hard disks",
    )


class XmlAttribute(Model):
    """An attribute of an XML element."""

    name: str = prop("Name of the attribute.", required=True, impact=Impact.RESTART)
    value: Text = prop("Value of the attribute.", required=True, impact=Impact.RESTART)


class XmlOverlay(Model):
    """A change of the guest's definition: one of `xml`, `attribute` and `remove`."""

    xpath: Text = prop(
        "XPath 1.0 of the elements that are changed, or of the elements or attributes that are removed. It selects at"
        " least one. The prefix `qemu` is that of QEMU's own elements.",
        required=True,
        impact=Impact.RESTART,
    )
    xml: Text | None = prop(
        "Elements, as XML, that are appended to each element that `xpath` selects. The prefix `qemu` needs no `xmlns`.",
        impact=Impact.RESTART,
    )
    attribute: XmlAttribute | None = prop(
        "Attribute that is set on each element that `xpath` selects.", impact=Impact.RESTART
    )
    remove: bool | None = prop(
        "True: the elements or attributes that `xpath` selects are removed.", impact=Impact.RESTART
    )


class FirstBoot(Model):
    """What the guest is told at its first boot, through cloud-init's NoCloud data source."""

    hostname: str | None = prop("Host name the guest takes.", default_doc="the server's name")
    user: Annotated[str, AfterValidator(_user)] = prop(
        "The user who gets the password and the keys. A user other than `root` is made, with sudo.", default="root"
    )
    password: Annotated[str, AfterValidator(_password)] | None = prop(
        "The user's password, or a crypt(3) hash of it. Hashed before it leaves the provider.",
        secret=True,
        default_doc="20 random letters and digits, in the output `initialPassword`",
    )
    authorized_keys: list[Text] | None = prop("SSH public keys that may log in as the user.")
    user_data: str | None = prop(
        "Your own cloud-init user data (cloud-config, script or MIME). Kiln's settings come on top; the rest is kept.",
        secret=True,
    )
    network_config: str | None = prop("cloud-init network configuration (version 1 or 2).")
    metadata: Annotated[dict[str, Text], AfterValidator(_keys)] | None = prop(
        "Metadata for the guest, such as `role` or `gitlab:external_url`."
    )


class Console(Model):
    """How to reach the guest's console."""

    command: str = out("The command that opens the serial console in a terminal.")
    log_path: str | None = out("File on the node that keeps what the guest wrote to its serial console.")
    graphical: bool = out("Whether there is a graphical console, reached by VNC.")
    vnc_port: int | None = out("VNC port on the node's loopback address, while the guest runs.")


class Interface(Model):
    """A network interface as the node has it."""

    mac: str = out("MAC address.")
    network: str | None = out("The libvirt network it is connected to.")
    bridge: str | None = out("The host bridge it is connected to.")


class ServerInputs(Model):
    """Inputs of Server."""

    name: Name = prop("Name of the guest on its node.", sticky=True)
    node: str = prop(
        "The node's libvirt URI, such as a Node's `uri` output.",
        default_doc="the provider's `uri`",
        unless="`live` where the URI leads to the same machine",
    )
    pool: Name = prop(
        "Storage pool of the root disk and the seed.", sticky=True, default_doc="the node's `storagePool`"
    )
    image: str | None = prop(
        "Id of the Image that the root disk is cloned from. The root disk belongs to the server.",
        unless="`restart` where it attaches again the root disk that somebody detached",
    )
    disk_size: DiskSize | None = prop(
        "Size of the root disk. It can grow in place and never shrink.",
        default_doc="the image's size",
        impact=Impact.LIVE,
        unless="refused where it is below what the disk has",
    )
    disks: list[str] | None = prop(
        "Ids of further disks, in order. One that holds an ISO becomes a CD drive. A running guest is given and rid of"
        " them while it runs on; a disk keeps its device name whatever comes and goes before it.",
        impact=Impact.LIVE,
        unless="`restart` where the guest has no PCI slot left",
    )
    memory: Memory = prop(
        "Memory the guest owns.",
        default=Size.parse("512MiB"),
        default_doc="512MiB",
        impact=Impact.RESTART,
        unless="`live` up to `maxMemory` in multiples of 128MiB, and down while the guest can spare it",
    )
    max_memory: Memory | None = prop(
        "What `memory` can grow to while the guest runs, in whole MiB as `memory` then is. The guest owns no more than"
        " `memory`; what it is given it must bring online, which its agent does.",
        default_doc="`memory`: its change restarts the guest",
        impact=Impact.RESTART,
    )
    vcpus: Annotated[int, AfterValidator(_at_least_one)] = prop(
        "Number of virtual CPUs.",
        default=1,
        impact=Impact.RESTART,
        unless="`live` up to `maxVcpus`",
    )
    max_vcpus: Annotated[int, AfterValidator(_at_least_one)] | None = prop(
        "What `vcpus` can grow to while the guest runs. What it is given it must bring online, which its agent does.",
        default_doc="`vcpus`: its change restarts the guest",
        impact=Impact.RESTART,
    )
    cpu_mode: CpuMode | None = prop(
        "CPU the guest sees, in libvirt's words.", impact=Impact.RESTART, default_doc="`auto`: fit for the accelerator"
    )
    networks: list[Nic] | None = prop(
        "Network interfaces in order; an empty list for none. They are changed while the guest runs.",
        impact=Impact.LIVE,
        default_doc="one interface on the node's `network`",
        unless="`restart` where the guest has no PCI slot left",
    )
    firmware: Literal["bios", "efi"] = prop("Firmware of the guest.", default="bios", impact=Impact.REPLACE)
    boot: Boot | None = prop("What the guest boots from.", impact=Impact.RESTART)
    on_first_boot_change: Literal["ignore", "rerun", "replace"] = prop(
        "What a changed `firstBoot` does to a guest that was told the old one: nothing, which the preview warns of; "
        "cloud-init runs again, as in a new instance, after a restart; or another guest takes its place.",
        default="ignore",
        impact=Impact.LIVE,
    )
    first_boot: FirstBoot | None = prop(
        "What the guest is told at its first boot. Absent, a server with an `image` still gets its name and a "
        "password.",
        unless="nothing at all or `restart`, as `onFirstBootChange` says",
    )
    power_state: Literal["running", "stopped"] = prop("Whether the guest runs.", default="running", impact=Impact.LIVE)
    autostart: bool = prop("Whether the guest starts with its node.", default=False, impact=Impact.LIVE)
    graphics: Literal["none", "vnc"] = prop(
        "Graphical console: `vnc` listens on the node's loopback address only, with a random password.",
        default="none",
        impact=Impact.RESTART,
    )
    wait_for: Literal["none", "address", "firstBoot"] = prop(
        "What a create waits for: nothing, an IP address, or the end of cloud-init.", default="none", impact=Impact.LIVE
    )
    wait_timeout: Annotated[int, AfterValidator(_at_least_one)] = prop(
        "Seconds that `waitFor` may take.", default=600, impact=Impact.LIVE
    )
    shutdown_timeout: Annotated[int, AfterValidator(_at_least_one)] = prop(
        "Seconds the guest has to shut down by itself before it is forced off.", default=60, impact=Impact.LIVE
    )
    restart_policy: Literal["allowed", "deferred", "forbidden"] = prop(
        "What becomes of a change that takes a restart of a guest that runs: it is restarted; or its definition is "
        "changed and the guest runs on, has it when whoever it is starts it again, and `pendingRestart` lists it until "
        "then; or the change is refused. Other changes are made all the same, a replacement too.",
        default="allowed",
        impact=Impact.LIVE,
        unless="`restart` where it becomes `allowed` and something waits for a restart",
    )
    description: Text | None = prop("Description of the guest in libvirt.", impact=Impact.LIVE)
    platform_config: dict[str, Text] | None = prop(
        "Settings of the platform that have no property of their own. On libvirt: `machine` (QEMU machine type),"
        " `clock` (`utc` or `localtime`), `video` (model of the graphics card) and `diskCache` (cache mode of all"
        " disks).",
        impact=Impact.RESTART,
    )
    xml_overlay: list[XmlOverlay] | None = prop(
        "Changes of the guest's definition in libvirt's own words, applied in order, for what has no property; what has"
        " one is refused. A refresh looks for what they ask for and for nothing else. They are in the definition in"
        " plain text, secret or not.",
        impact=Impact.RESTART,
    )


class ServerState(ServerInputs):
    """State of Server."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    uuid: str = out("The guest's UUID, which is also the server's id.")
    addresses: list[str] = out("IP addresses of the guest, when known.", changes_with=("networks", "power_state"))
    initial_password: str | None = out("The first-boot password of the user.", secret=True)
    root_disk_size: Size | None = out("Size of the root disk.", changes_with=("disk_size",))
    interfaces: list[Interface] = out("The guest's interfaces as they are.", changes_with=("networks",))
    console: Console = out("How to reach the guest's console.", changes_with=("graphics", "power_state"))
    vnc_password: str | None = out("Password of the VNC console.", secret=True, changes_with=("graphics",))
    boot_order: list[str] = out(
        "What the firmware tries, in order: disks by their device names, interfaces by their MAC addresses.",
        changes_with=("disks", "networks", "boot"),
    )
    accelerator: Literal["kvm", "tcg"] = out("What executes the guest's code.")
    state: Literal["running", "stopped", "paused", "crashed", "saved"] = out(
        "The guest's power state.", changes_with=("power_state",)
    )
    pending_restart: list[str] | None = out(
        "Where `restartPolicy` is not `allowed`: the properties that the running guest will have otherwise when it "
        "starts again. Nothing is done about them until then.",
        changes_with=(
            "name",
            "image",
            "disks",
            "memory",
            "vcpus",
            "cpu_mode",
            "networks",
            "boot",
            "first_boot",
            "power_state",
            "graphics",
            "restart_policy",
            "platform_config",
        ),
    )
    unfinished: list[str] | None = out(
        "Properties whose change was not finished, or that the running guest has otherwise than its definition, because"
        " somebody changed one and not the other. The next `up` puts that right.",
        unfinished="the definition is put right",
    )
    transient: bool | None = out(
        "True for a guest that was undefined while it ran, and would be gone when it stops; the next `up` defines it.",
        unfinished="the guest was undefined while it ran, and is defined again",
    )
    renamed: str | None = out(
        "The name that somebody gave to the guest on the node; the next `up` gives it its own back.",
        unfinished="it was renamed on the node, and is renamed back",
    )
