"""What Kiln left on a node that no state holds: found by its marks and names, removed only on request.

Owns: telling what is left over from what somebody still uses, and removing it. Nothing is removed that changed since it
was found.
"""

from kiln.resources.leftovers.find import find
from kiln.resources.leftovers.model import Kind, Leftover

__all__ = ["Kind", "Leftover", "find"]
