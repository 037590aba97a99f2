"""Documents of snapshots, as libvirt writes them."""

from __future__ import annotations

from kiln.platforms.libvirt.xml.snapshot import described, snapshot, told_snapshot, without_media
from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.marks import Mark

UUID = "11111111-2222-4333-8444-555555555555"
MARK = Mark("op", "creating", role="snapshot", info={"name": "first"})


def document(name: str = "first", state: str = "running", memory: str = "internal", disk: str = "internal") -> str:
    devices = """
    <devices>
      <disk type='file' device='disk'><source file='/p/a'/><target dev='vda' bus='virtio'/></disk>
      <disk type='file' device='cdrom'><source file='/p/cd'/><target dev='sda' bus='scsi'/><readonly/></disk>
      <disk type='file' device='cdrom'><source file='/p/other'/><target dev='sdb' bus='scsi'/><readonly/></disk>
    </devices>"""
    guest = f"<name>web</name><uuid>{UUID}</uuid><metadata><theirs xmlns='urn:theirs'/></metadata>{devices}"
    return f"""
    <domainsnapshot>
      <name>{name}</name><description>one</description><state>{state}</state><creationTime>1795310265</creationTime>
      <memory snapshot='{memory}'/>
      <disks>
        <disk name='vda' snapshot='{disk}'/><disk name='sda' snapshot='no'/><disk name='sdb' snapshot='no'/>
      </disks>
      <domain type='qemu'>{guest}</domain>
      <inactiveDomain type='qemu'>{guest}</inactiveDomain>
    </domainsnapshot>"""


def test_what_is_asked_for_says_whether_memory_is_in_it() -> None:
    for memory, kind in ((True, "internal"), (False, "no")):
        root = parse(snapshot("first", memory=memory, description="<&>\n"))
        found = root.find("memory")
        assert found is not None
        assert (root.findtext("name"), root.findtext("description"), found.get("snapshot")) == ("first", "<&>\n", kind)


def test_what_libvirt_says_is_told() -> None:
    told = told_snapshot(document(), UUID)
    assert (told.guest, told.name, told.created, told.state) == (UUID, "first", 1795310265, "running")
    assert (told.disks, told.media, told.description) == (
        {"vda": "/p/a"},
        {"sda": "/p/cd", "sdb": "/p/other"},
        "one",
    )
    assert (told.internal, told.mark) == (True, None)


def test_states_are_told_in_kilns_words() -> None:
    words = {"running": "running", "blocked": "running", "paused": "paused", "shutoff": "stopped", "crashed": "stopped"}
    assert {word: told_snapshot(document(state=word), UUID).state for word in words} == words


def test_what_lies_beside_the_disks_is_external() -> None:
    assert not told_snapshot(document(memory="external"), UUID).internal
    assert not told_snapshot(document(disk="external"), UUID).internal


def test_a_mark_is_written_into_each_definition_and_counts_for_its_snapshot_alone() -> None:
    written = described(document(), None, MARK)
    told = told_snapshot(written, UUID)
    assert (told.mark, told.description) == (MARK, None)
    again = described(written, "two", Mark("op", "done", role="snapshot", info={"name": "first"}))
    assert [len(parse(again).findall(f"{tag}/metadata/*")) for tag in ("domain", "inactiveDomain")] == [2, 2]
    assert told_snapshot(again.replace("<name>first</name>", "<name>theirs</name>"), UUID).mark is None


def test_drives_are_emptied_of_the_cds_that_are_gone() -> None:
    root = parse(without_media(document(), ["/p/cd", "/p/a"]))
    for tag in ("domain", "inactiveDomain"):
        files = [source.get("file") for source in root.findall(f"{tag}/devices/disk/source")]
        assert files == ["/p/a", "/p/other"]
    assert told_snapshot(without_media(document(), ["/p/cd"]), UUID).media == {"sda": None, "sdb": "/p/other"}
