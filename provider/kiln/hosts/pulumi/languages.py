"""How the package is called in each language that an SDK can be generated for."""

from __future__ import annotations

from typing import Any

from kiln.framework.schema import Schema

PULUMI = ">=3.272.0,<4.0.0"
"""The versions of Pulumi's Python SDK that the generated one runs with."""


def languages(schema: Schema) -> dict[str, Any]:
    """The ``language`` section of a package schema."""
    home = schema.homepage.partition("://")[2]
    imported = {"importBasePath": f"{home}/sdk/go/{schema.name}"} if home else {}
    return {
        "csharp": {"rootNamespace": schema.display_name, "respectSchemaVersion": True},
        "go": {**imported, "generateResourceContainerTypes": True, "respectSchemaVersion": True},
        "nodejs": {"packageName": f"pulumi-{schema.name}", "respectSchemaVersion": True},
        "python": {
            "packageName": f"pulumi_{schema.name}",
            "pythonRequires": ">=3.11",
            "pyproject": {"enabled": True},
            "requires": {"pulumi": PULUMI},
            "respectSchemaVersion": True,
            "inputTypes": "classes-and-dicts",
        },
    }
