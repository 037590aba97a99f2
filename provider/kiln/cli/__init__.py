"""The ``kiln`` command: what people ask of a node outside a Pulumi program. Renders; decides nothing."""
