"""Values as YAML in its flow style, which is JSON but for a few characters."""

from __future__ import annotations

import json
import re
from typing import Any

# YAML 1.1 as PyYAML reads it (cloud-init's parser): what is not printable must be escaped, next line and the two
# separators would be folded as line breaks, and a pair of escaped surrogates is not put together as JSON does.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def as_yaml(value: Any) -> bytes:
    """The value as UTF-8 text that reads the same as YAML and as JSON."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode() + b"\n"
