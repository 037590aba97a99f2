"""Network: a libvirt network, with its addresses, DHCP, DNS, and the changes that its guests do not notice.

``model`` says what can be asked for, ``checks`` refuses what cannot work and ``settings`` turns the rest into what the
node is told (pure), ``drift`` reads it back, ``life`` has the steps, ``resource`` puts them in order.

::

    define (creating) ─▶ start ─▶ autostart ─▶ mark done
    └────────────── undone when one fails ─────────────┘
"""

from kiln.resources.network.resource import Network

__all__ = ["Network"]
