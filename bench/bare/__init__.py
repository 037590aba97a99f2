"""The least that libvirt asks for: the volumes and guests that Kiln made, made again by a plain script.

``template`` reads what Kiln made from the node, so that both make the same, and writes the plan; ``__main__`` is the
script, which ``run`` runs. Marks and sidecars, Kiln's own bookkeeping, are not in the plan.
"""
