"""What a developer of Kiln runs: set-up, guest images, generated code, the demo, the list of requirements.

Nothing under ``provider/`` imports this package. ``tools.setup`` and ``tools.pulumi_cli`` (and what they import) use
the standard library alone, because they run before the virtual environment exists; the rest runs inside it.
"""
