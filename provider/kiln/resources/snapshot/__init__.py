"""Snapshot: what a guest's disks, and its memory, were at a moment; taking it, and taking the guest back to it.

``model`` says what can be asked for, ``fit`` refuses what no snapshot can be taken of, ``reverting`` has what a revert
discards and its steps, ``life`` the other steps, ``resource`` puts them in order.

::

    take (creating) ─▶ mark done           stop guest ─▶ revert ─▶ definition ─▶ grow disks ─▶ start
    └── undone when one fails ──┘          └─ undone ─┘  └────────── kept: the guest is back ──────────┘
"""

from kiln.resources.snapshot.resource import Snapshot

__all__ = ["Snapshot"]
