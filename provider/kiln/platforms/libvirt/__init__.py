"""Guests on nodes that run libvirt.

Owns: connections with deadlines (``connection``, the only import of libvirt), the XML that Kiln writes and reads
(``xml``, pure), and one module per port: ``nodes``, ``domains``, ``volumes``, ``networks``, ``console``.

May not: know a resource or a wire protocol, import libvirt outside ``connection``, refresh a pool outside ``locks``.
"""
