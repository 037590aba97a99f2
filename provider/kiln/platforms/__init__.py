"""What drives guests on a node: one package per kind of hypervisor interface.

Owns: everything that talks to a hypervisor. Each package fits ``kiln.ports`` by shape and knows neither resources nor
hosts. A platform raises only errors of ``kiln.framework.errors``.
"""
