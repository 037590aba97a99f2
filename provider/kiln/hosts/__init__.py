"""One thin room per wire protocol: ``server``, ``decode`` and ``encode`` in each.

Owns: the translation between a protocol's messages and the framework's values, and the protocol's own duties (ports,
signals, status codes). Knows no resource by name and holds no rule about what a resource does; only here may ``grpc``,
``google.protobuf`` and ``pulumi`` be imported.
"""
