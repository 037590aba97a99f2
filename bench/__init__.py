"""What is timed, against the floor: the least that the same work can cost here.

::

    python -m bench [--only NAME] [--runs N] [--json]      one line a figure: name ours floor ratio

Each figure is one module below ``figures`` with a ``FIGURE``; ``measure`` runs both sides of it in turns. README.md
says what each means. Everything a figure makes is under one prefix and goes away with it, also on failure and Ctrl-C.
"""
