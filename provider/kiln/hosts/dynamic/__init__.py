"""The same resources with no plugin, through ``pulumi.dynamic``: they run in the program's own Python.

::

    program ──▶ resources (a class per kind) ──▶ encode ──▶ engine
    engine ──▶ pulumi's dynamic plugin ──▶ server.Stub ──▶ decode ──▶ framework.operations ──▶ encode ──▶ engine

Pulumi pickles the provider of a dynamic resource into the stack's state. What is pickled here is a stub that holds the
name of a module and the name of a kind, so it never changes, holds no secret and needs no particular Python version.

What ``pulumi.dynamic`` cannot do, so that the plugin stays the better choice:

* Partial create: there is no way to report one. The object counts as created, a warning is printed, and the next
  ``up`` finishes it.
* Cancel: Ctrl-C does not reach an operation; it ends at its deadline or when the plugin is killed.
* Engine log: messages are printed on standard error of the plugin and progress is not shown.
* Detailed diff: a preview names the properties that replace, not the paths inside them, and no impact on a running
  guest beyond what is printed.
* Previews: outputs are unknown in every preview of a create or an update, and so is the id of what is created: an
  image that is made again under its id seems to replace the servers that were made from it, and does not.
* Errors: Pulumi prints a Python traceback above the message.
* Ownership by URN: marks name no resource, since the host is not told which one it serves. The root disk of a guest
  that somebody undefined is therefore not taken back; `kiln gc --state` removes it.
* Autonaming: a project's patterns are not handed over; the logical name is used.
* Import by the CLI, functions, other languages and YAML: need the plugin.
* Assets: Pulumi cannot compare them, so a file or remote asset is handed over as its path or URL.
"""
