"""The command line: which commands there are, and how a failure of one is told.

Holds names and exit codes only. Commands are imported when they are asked for.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, Parameter

from gateway import __version__
from gateway.commands.failure import CommandError
from gateway.config import ConfigError

app = App(
    name="tickwire",
    help="Market data from exchanges to thousands of WebSocket subscribers.",
    version=__version__,
    default_parameter=Parameter(negative=()),
)
# The first sentence of each here, because reading it from the command would import the command.
app.command("gateway.commands.demo:demo", help="A simulated exchange, a gateway in front of it, and what to try.")
app.command("gateway.commands.serve:serve", help="Run the gateway.")
app.command("gateway.commands.serve:check", help="Explain every mistake in a configuration, with its line.")
app.command("gateway.commands.watch:watch", help="Watch one stream of a running gateway.")
app.command(
    "gateway.commands.exchange:exchange", help="Run the simulated exchange alone.", help_flags=[], version_flags=[]
)


def main() -> None:
    """The entry point of `tickwire`: 0 done, 1 cannot be done, 130 interrupted."""
    try:
        app(sys.argv[1:])
    except (CommandError, ConfigError) as error:
        print(f"tickwire: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output (`| head`) has seen enough; nothing must be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
