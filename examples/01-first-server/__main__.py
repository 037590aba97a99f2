"""One node, one image, one data disk, one server with a password of its own."""

import pulumi
import pulumi_kiln as kiln

config = pulumi.Config()

host = kiln.Node("host", group="demo")

image = kiln.Image(
    "demo-image",
    node=host.uri,
    source=config.require("rootImage"),
    kernel=config.get("kernel") or None,
    initrd=config.get("initrd") or None,
    cmdline=config.get("cmdline") or None,
)

data = kiln.Disk("demo-data", node=host.uri, size="1GiB")

server = kiln.Server(
    "demo",
    node=host.uri,
    image=image.id,
    disk_size="4GiB",
    disks=[data.id],
    memory="768MiB",
    vcpus=2,
    wait_for="firstBoot",
    wait_timeout=900,
)

pulumi.export("name", server.name)
pulumi.export("node", host.uri)
pulumi.export("accelerator", host.accelerator_reason)
pulumi.export("user", "root")
pulumi.export("initialPassword", server.initial_password)
pulumi.export("addresses", server.addresses)
pulumi.export("consoleCommand", server.console.command)
pulumi.export("consoleLog", server.console.log_path)
