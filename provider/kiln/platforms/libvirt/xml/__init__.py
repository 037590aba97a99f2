"""The XML that Kiln writes to libvirt and reads back from it. Pure: no I/O, no libvirt.

Everything is built with an element API, never by joining strings, so a metacharacter in any field stays a character of
that field; what XML cannot carry is refused (``text``). One element, or one family of them, per module.
"""
