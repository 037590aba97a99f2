"""A provider whose resources are nothing: what Pulumi itself and a Python plugin cost.

It answers every call at once with what it was sent, from a threaded gRPC server on Pulumi's stubs, as Kiln's own host
does. What it leaves out is all that makes a provider: values are not decoded, nothing is checked, nothing is done.
"""
