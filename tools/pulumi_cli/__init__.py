"""The ``pulumi`` CLI that Kiln's demo, tests and benches use (standard library only).

In this order: the one on PATH when it is new enough; the one that an earlier run cached; Pulumi's own installer; a
build from the Go modules that Pulumi publishes.
"""

from tools.pulumi_cli.choose import ensure_cli

__all__ = ["ensure_cli"]
