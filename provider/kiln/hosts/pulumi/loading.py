"""Kiln's own provider, for the plugin and for the schema: the one place in this host that knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiln.framework.provider import Provider


def load() -> Provider:
    """Kiln's provider, not yet configured."""
    from kiln.app import KilnProvider

    return KilnProvider()
