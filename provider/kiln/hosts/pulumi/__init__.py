"""The Pulumi plugin: a threaded gRPC server that speaks ``pulumirpc.ResourceProvider``.

::

    pulumi engine ──▶ server ──▶ decode ──▶ framework.operations ──▶ encode ──▶ engine
                        │ calls: deadline, cancellation, log, error conversion, the same for every RPC
                        └ log ──▶ Engine.Log

``pulumi.provider.experimental`` is not used: it cannot carry unknowns, autonaming, old inputs or partial failure, and
one blocking call stops all others.
"""
