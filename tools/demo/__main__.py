"""``python -m tools.demo up [--image PATH-OR-URL]`` and ``python -m tools.demo down``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tools import console as serial
from tools.demo.stack import ENVIRONMENT, HOME, PROGRAM, DemoStack, Outputs, forget
from tools.demo.stages import Stages
from tools.guests import debian
from tools.say import ToolError
from tools.setup.venv import REPOSITORY

LOGIN_TIMEOUT = 180.0
"""Seconds: a first log-in pages the shell in, which takes a while where the processor is emulated."""


def up(stages: Stages, image: str | None) -> None:
    """Take the program to a running guest, log in to it, and say how to look further."""
    with stages.stage("Guest image"):
        config = image_config(image, stages)
    with stages.stage("Stack, with its state in .demo/"):
        stack = DemoStack(stages)
        stack.select(config)
    with stages.stage("pulumi up, until first boot has ended"):
        stack.up()
    outputs = stack.outputs()
    with (
        stages.stage(f"Log in on the serial console as {outputs.user}, with the generated password"),
        serial.login(outputs.node, outputs.name, outputs.user, outputs.password, LOGIN_TIMEOUT) as session,
    ):
        answers = {command: session.run(command) for command in ("hostname", "uname -a")}
    stages.show()
    for command, answer in answers.items():
        stages.show(f"  [bold]{command}[/]  {escape(answer)}")
    stages.show()
    show_next_steps(stages, outputs)


def image_config(image: str | None, stages: Stages) -> dict[str, str]:
    """Return the program's configuration: the given image, else the Debian guest, which boots by its kernel."""
    if image is None:
        guest = debian.ensure(stages.detail)
        kernel = {"kernel": str(guest.kernel), "initrd": str(guest.initrd), "cmdline": guest.cmdline}
        return {"rootImage": str(guest.disk), **kernel}
    if "://" not in image:
        path = Path(image).expanduser().resolve()
        if not path.is_file():
            raise ToolError(f"IMAGE={image}: there is no such file")
        image = str(path)
    return {"rootImage": image, "kernel": "", "initrd": "", "cmdline": ""}


def show_next_steps(stages: Stages, outputs: Outputs) -> None:
    """Say how to look further."""
    program, environment = PROGRAM.relative_to(REPOSITORY), ENVIRONMENT.relative_to(REPOSITORY)
    stages.show("Look further:")
    stages.show(f"  [cyan]. {environment}[/]  puts pulumi on PATH, with the demo's state and passphrase")
    stages.show(f"  [cyan]{escape(outputs.console_command)}[/]  the console; Ctrl-] leaves it")
    stages.show(f"  [cyan]pulumi -C {program} stack output initialPassword --show-secrets[/]  for {outputs.user}")
    stages.show(f"  [cyan]pulumi -C {program} refresh[/]  finds what was changed behind its back")
    stages.show("  [cyan]make demo-down[/]  removes all of it")


def down(stages: Stages) -> None:
    """Remove all that the demo made."""
    if not HOME.exists():
        stages.show("There is no demo to take down.")
        return
    with stages.stage("pulumi destroy"):
        stack = DemoStack(stages)
        if stack.exists():
            stack.destroy()
    forget()
    stages.show("Nothing of the demo is left; the built guest image and the CLI stay in the cache.")


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument(
        "--image", help="a disk image with cloud-init in it, to boot by its own loader"
    )
    commands.add_parser("down")
    arguments = parser.parse_args()
    console = Console()
    try:
        if arguments.command == "up":
            up(Stages(console), arguments.image)
        else:
            down(Stages(console))
    except (ToolError, serial.ConsoleError) as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
