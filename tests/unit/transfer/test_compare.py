"""Comparing what two files hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.transfer.compare import compare


def test_files_are_compared_where_they_can_be_read(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"same".ljust(1024, b"\0"))
    two.write_bytes(b"same".ljust(2048, b"\0"))
    assert compare(Context(), (one, two), ("raw", "raw"), "comparing")
    two.write_bytes(b"else".ljust(1024, b"\0"))
    assert not compare(Context(), (one, two), ("raw", "raw"), "comparing")
    with pytest.raises(KilnError, match="comparing failed"):
        compare(Context(), (one, two), ("qcow2", "raw"), "comparing")
