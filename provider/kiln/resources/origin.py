"""What a volume's mark keeps of where its content came from, so that an import knows it again."""

from __future__ import annotations

from collections.abc import Mapping

from kiln.framework.values import Asset
from kiln.transfer.source import Url, locate


def origin(source: str | Asset | None, source_digest: str | None, **stated: str | None) -> dict[str, str]:
    """The entries of a mark: what was ``stated`` of the content, its digest, and a URL without what may be secret."""
    kept = {**stated, "sourceDigest": source_digest}
    where = locate(source) if source is not None else None
    if isinstance(where, Url):
        kept["source"] = where.name
    return {key: value for key, value in kept.items() if value is not None}


def known_source(info: Mapping[str, str], path: str) -> str:
    """The source that an import states: the URL it came from, else the volume itself."""
    return info.get("source", path)
