"""Nodes, images and disks: each way to make one, to change it, and to be rid of it."""

from __future__ import annotations

from tests.faults.node import FaultyWorld
from tests.faults.stack import Program
from tests.faults.sweep import Scenario


def nothing(world: FaultyWorld) -> Program:
    return {}


def node(world: FaultyWorld) -> Program:
    return {"host": ("Node", {"storagePool": {"name": "fast"}})}


def node_elsewhere(world: FaultyWorld) -> Program:
    return {"host": ("Node", {"storagePool": {"name": "large"}, "group": "lab"})}


def image(world: FaultyWorld) -> Program:
    return {"mine": ("Image", {"source": world.raw()})}


def image_that_says_more(world: FaultyWorld) -> Program:
    return {"mine": ("Image", {"source": world.raw(), "version": "2", "description": "the second"})}


def image_of_other_content(world: FaultyWorld) -> Program:
    return {"mine": ("Image", {"source": world.raw("other.raw", 64 << 10)})}


def image_with_kernel(world: FaultyWorld) -> Program:
    boot = {"kernel": world.raw("k", 4096), "initrd": world.raw("i", 8192), "cmdline": "quiet"}
    return {"mine": ("Image", {"source": world.raw(), **boot})}


def blank(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"size": "1MiB"})}


def blank_grown(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"size": "4MiB"})}


def blank_raw(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"size": "1MiB", "format": "raw"})}


def retained(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"size": "1MiB", "deletionPolicy": "retain"})}


def filled(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"source": world.raw("content"), "size": "2MiB"})}


def cd(world: FaultyWorld) -> Program:
    return {"disk": ("Disk", {"source": world.iso()})}


def linked(world: FaultyWorld) -> Program:
    return {**image(world), "disk": ("Disk", {"image": "kiln/mine", "size": "2MiB"})}


def full(world: FaultyWorld) -> Program:
    return {**image(world), "disk": ("Disk", {"image": "kiln/mine", "clone": "full"})}


SCENARIOS = {
    "node-create": Scenario(nothing, node),
    "node-update": Scenario(node, node_elsewhere),
    "node-delete": Scenario(node, nothing),
    "image-create": Scenario(nothing, image),
    "image-create-with-kernel": Scenario(nothing, image_with_kernel),
    "image-update": Scenario(image, image_that_says_more),
    "image-replace": Scenario(image_with_kernel, image_of_other_content),
    "image-delete": Scenario(image_with_kernel, nothing),
    "disk-create-blank": Scenario(nothing, blank),
    "disk-create-raw": Scenario(nothing, blank_raw),
    "disk-create-filled": Scenario(nothing, filled),
    "disk-create-cd": Scenario(nothing, cd),
    "disk-create-linked": Scenario(image, linked),
    "disk-create-full": Scenario(image, full),
    "disk-grow": Scenario(blank, blank_grown, kept=("disk",)),
    "disk-replace": Scenario(blank, blank_raw),
    "disk-delete": Scenario(linked, image),
    "disk-retain": Scenario(retained, nothing, kept=("disk",)),
}
