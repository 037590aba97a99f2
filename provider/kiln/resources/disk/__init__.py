"""Disk: a volume that lives on its own, apart from the servers that use it.

``model`` says what can be asked for, ``making`` how the volume is made, ``changing`` when it is moved and ``moving``
how, ``uses`` which guests have it, ``releasing`` lets go of it; ``resource`` puts it in order.
"""

from kiln.resources.disk.resource import Disk

__all__ = ["Disk"]
