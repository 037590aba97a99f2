"""Server: a guest on a node, with its root disk, its first boot and its life.

``model`` says what can be asked for, ``layout`` turns it into a domain (pure), ``storage`` makes the root disk and the
seed, ``waiting`` watches a first boot end, ``resource`` puts them in order.

::

    claim name ─▶ root disk ─▶ seed ─▶ define ─▶ start ─▶ wait ─▶ remove seed ─▶ mark done
    └────────── undone when one fails ─────────┘└── kept: a failure is a partial create ──┘
"""

from kiln.resources.server.resource import Server

__all__ = ["Server"]
