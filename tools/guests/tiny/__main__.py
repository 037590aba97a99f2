"""Make the tiny guest and say where it is."""

import sys

from tools.guests import command, tiny

if __name__ == "__main__":
    sys.exit(command.main(tiny.__doc__ or "", tiny.ensure))
