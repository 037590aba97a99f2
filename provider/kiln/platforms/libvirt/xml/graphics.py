"""``<graphics>`` and ``<video>``: VNC for a person on the node (or behind an ssh tunnel), never open to a network.

Source: https://libvirt.org/formatdomain.html#graphical-framebuffers
"""

from __future__ import annotations

from kiln.framework.errors import Bug
from kiln.platforms.libvirt.xml.text import Element, add
from kiln.ports.domains import DomainSpec

LOOPBACK = "127.0.0.1"


def graphics(devices: Element, spec: DomainSpec) -> None:
    """Add the graphical console to ``devices``, or none."""
    video = add(devices, "video")
    if spec.graphics == "none":
        add(video, "model", type="none")
        return
    if not spec.graphics_password:
        # An empty password means no authentication at all (CVE-2016-5008).
        raise Bug("a VNC console was asked for without a password")
    made = add(
        devices, "graphics", type="vnc", port="-1", autoport="yes", listen=LOOPBACK, passwd=spec.graphics_password
    )
    add(made, "listen", type="address", address=LOOPBACK)
    add(video, "model", type=spec.platform_config.get("video", "vga"), heads="1", primary="yes")
    # A tablet has absolute coordinates: the pointer stays under the viewer's.
    add(devices, "input", type="tablet", bus="usb")
    add(devices, "input", type="keyboard", bus="usb")
