"""Write a resource once, serve it to any host.

Owns: typed inputs and state with facts stated once on the field, plans, steps with their undo, the context that every
effect is handed, the error tree and the neutral schema. Knows nothing of libvirt, images, disks or a wire protocol, and
imports nothing else of Kiln.
"""
