"""What the bare script is told to make."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bench.bare.template import Template, guest_template, volume_template

GUEST = """<domain type='qemu'>
  <name>b-s000</name><uuid>5c0e9f33-0d5b-4a0c-8d2f-0a6f6f1f9a10</uuid>
  <metadata><k:mark xmlns:k='urn:k'>x</k:mark></metadata>
  <devices><disk><source file='/pool/b-s000-root'/></disk>
  <interface type='network'><mac address='52:54:00:00:00:01'/></interface></devices>
</domain>"""

OVERLAY = """<volume type='file'>
  <name>b-s000-root</name><key>/pool/b-s000-root</key><capacity unit='bytes'>1048576</capacity>
  <allocation unit='bytes'>200704</allocation><physical unit='bytes'>196928</physical>
  <target><path>/pool/b-s000-root</path><format type='qcow2'/>
  <permissions><mode>0600</mode><owner>64055</owner><group>103</group></permissions>
  <timestamps><atime>1</atime></timestamps><compat>1.1</compat></target>
  <backingStore><path>/pool/b-image</path><format type='raw'/><timestamps><atime>1</atime></timestamps></backingStore>
</volume>"""


def test_a_guest_keeps_its_devices_and_loses_what_is_its_own() -> None:
    root = ElementTree.fromstring(guest_template(GUEST))
    assert root.findtext("uuid") is None
    assert root.find("metadata") is None
    assert root.find("devices/interface/mac") is None
    assert root.find("devices/interface") is not None
    assert root.find("devices/disk/source") is not None


def test_a_volume_keeps_what_it_is_made_from() -> None:
    root = ElementTree.fromstring(volume_template(OVERLAY))
    assert [child.tag for child in root] == ["name", "capacity", "allocation", "target", "backingStore"]
    assert root.findtext("allocation") == "0"
    assert root.findtext("target/permissions/mode") == "0600"
    assert root.findtext("target/compat") == "1.1"
    assert [child.tag for child in root.findall("backingStore/*")] == ["path", "format"]
    assert [child.tag for child in root.findall("target/permissions/*")] == ["mode"]


def test_a_plan_renames_guests_and_shares_the_base() -> None:
    template = Template("b-s000", guest_template(GUEST), {"<v>b-s000-root</v>": None}, {"<v>b-image</v>": Path("/i")})
    plan = template.plan("test:///default", "pool", ["b-x000", "b-x001"], start=True)
    assert plan["base"] == [{"xml": "<v>b-image</v>", "content": "/i"}]
    assert [guest["volumes"] for guest in plan["guests"]] == [
        [{"xml": "<v>b-x000-root</v>", "content": None}],
        [{"xml": "<v>b-x001-root</v>", "content": None}],
    ]
    for name, guest in zip(("b-x000", "b-x001"), plan["guests"], strict=True):
        assert f"/pool/{name}-root" in guest["xml"]
        assert "b-s000" not in guest["xml"]
