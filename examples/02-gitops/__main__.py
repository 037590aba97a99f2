"""The guests of a lab. Which there are, and what they have, is data: see the file of the stack, Pulumi.lab.yaml."""

import pulumi
import pulumi_kiln as kiln

config = pulumi.Config()

host = kiln.Node("host")
image = kiln.Image("base", node=host.uri, **config.require_object("image"))

for name, wanted in config.require_object("servers").items():
    server = kiln.Server(name, node=host.uri, image=image.id, **wanted)
    pulumi.export(name, {"addresses": server.addresses, "initialPassword": server.initial_password})
