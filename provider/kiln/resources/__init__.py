"""One module per resource: its inputs and state, what a change does, and the steps that make, change and remove it.

May use the ports of a node, ``transfer`` for bytes and ``firstboot`` for seeds; knows no platform and no host. Models
and layouts are pure; effects happen in steps only.
"""
