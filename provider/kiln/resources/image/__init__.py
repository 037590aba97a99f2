"""Image: immutable content on a node that disks and servers are made from.

``model`` says what can be asked for, ``storing`` how the bytes get to the node, ``release`` how they go, ``resource``
puts it in order.
"""

from kiln.resources.image.release import release_image
from kiln.resources.image.resource import Image

__all__ = ["Image", "release_image"]
