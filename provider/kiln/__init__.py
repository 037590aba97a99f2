"""Kiln: infrastructure as code for virtual machines on hosts that people run themselves.

The rooms and the one direction in which they import each other are listed in docs/architecture.md and enforced by
import-linter. Start reading at ``app.py``, the one place that joins the parts.
"""

__version__ = "0.1.0"
