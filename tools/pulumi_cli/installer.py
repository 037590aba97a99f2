"""Pulumi's own installer, https://www.pulumi.com/docs/install/ (an install script that fetches a release)."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from tools.say import Progress, ToolError, run

SCRIPT = "https://get.pulumi.com/"
TIMEOUT = 5.0
"""Seconds to wait for the first answer: a machine without this network has another way to go."""


def provide(home: Path, version: str, progress: Progress) -> None:
    """Put the release *version* into ``home/bin``; ToolError when it cannot be fetched."""
    progress(f"pulumi: asking Pulumi's installer ({SCRIPT}) for {version}")
    try:
        with urllib.request.urlopen(SCRIPT, timeout=TIMEOUT) as answer:
            script = answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ToolError(f"Pulumi's installer does not answer: {error}") from error
    file = home / "install.sh"
    file.write_bytes(script)
    run(
        ["sh", str(file), "--version", version, "--install-root", str(home), "--no-edit-path"],
        "Pulumi's installer",
        progress=progress,
    )
    file.unlink()
    if not (home / "bin" / "pulumi").is_file():
        raise ToolError("Pulumi's installer ended without a pulumi")
