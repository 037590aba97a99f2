"""Waiting for a guest: for an address, or for the end of its first boot as it tells on console, agent or log."""

from __future__ import annotations
