"""Bytes on their way to a node: what they are, fetching them, copying them without their holes, proving them equal.

::

    source ──fetch──▶ local file ──inspect──▶ Content ──upload──▶ volume + digest
    (path, file:, http(s):, asset)            (refuses)           (temporary name first)

Owns: recognising content from its bytes, refusing what is unsafe before any tool opens it, downloads and their cache,
decompression, sparse copies, conversion with qemu-img under limits, checksums and digests. May not: touch ownership
marks, choose names, know what a resource or a platform is. Everything on a node goes through ``ports.volumes``.
"""
