"""The narrow interfaces that resources need from a node, and the plain data that crosses them.

No I/O is done here and no platform is named. A platform (``kiln.platforms.libvirt``) fits these by shape; tests have an
in-memory one that the contract suite keeps honest. Every method takes the ``Context`` first, obeys its deadline and
cancellation, and raises only errors of ``kiln.framework.errors``: ``NotFound`` when the object is definitely absent,
``Conflict`` when a name is taken, ``Unreachable`` when the node does not answer.
"""
