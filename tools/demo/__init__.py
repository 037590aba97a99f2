"""``make demo`` and ``make demo-down``: the first example, up to a shell in its guest, and back.

All that the demo keeps is in ``.demo/`` (state, passphrase, the CLI's home) and the stack's settings beside the
program; ``demo-down`` removes both, and what the program made on the node.
"""
