"""Make the Debian guest and say where it is."""

import sys

from tools.guests import command, debian

if __name__ == "__main__":
    sys.exit(command.main(debian.__doc__ or "", debian.ensure))
