"""``make setup``: all that Kiln needs on a machine, checked first and installed only where it is missing.

Standard library only: this runs with the system's Python before there is a virtual environment.
"""
