"""The command line: which commands there are, and how a failure of one is told.

Holds names and exit codes only. Commands are imported when they are asked for.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, Parameter

from gateway import __version__
from gateway.commands.failure import CommandError
from gateway.config_file import ConfigError

app = App(
    name="tickwire",
    help="Market data from exchanges to thousands of WebSocket subscribers, and orders the other way.",
    version=__version__,
    default_parameter=Parameter(negative=()),
)
# The first sentence of each here, because reading it from the command would import the command.
app.command(
    "gateway.commands.demo:demo",
    help="A simulated exchange, a gateway in front of it, an account with money, and what to try.",
)
app.command("gateway.commands.serve:serve", help="Run the gateway.")
app.command("gateway.commands.serve:check", help="Explain every mistake in a configuration, with its line.")
app.command("gateway.commands.watch:watch", help="Watch one stream of a running gateway.")
app.command(
    "gateway.commands.exchange:exchange", help="Run the simulated exchange alone.", help_flags=[], version_flags=[]
)
app.command("gateway.commands.trading:trading", help="Say or change what may be sent for all accounts at once.")

_GROUPS = {
    "user": (
        "Who there is: users and their roles.",
        {
            "add": "Add a user.",
            "list": "List the users.",
            "role": "Give a user another role.",
            "disable": "Let a user in no more.",
            "enable": "Let a disabled user in again.",
        },
    ),
    "key": (
        "API keys, what they may do, and the end of them.",
        {
            "create": "Make an API key and print it: this once.",
            "list": "List API keys.",
            "grant": "Say what an API key may do on an account.",
            "withdraw": "Let an API key do nothing on an account any more.",
            "revoke": "End an API key, and every connection that came with it.",
        },
    ),
    "token": (
        "Keys that sign tokens, and tokens that are to be good no more.",
        {
            "key": "Print a new key that signs tokens.",
            "public": "Print the public half of such a key.",
            "revoke": "End tokens before their time, and the connections that came with them.",
            "revoked": "List what was revoked.",
        },
    ),
    "account": (
        "What is traded on, and what opens it at its venue.",
        {
            "add": "Add an account.",
            "list": "List the accounts.",
            "credentials": "Store what opens an account at its venue.",
            "block": "Send nothing more for an account but what takes orders back.",
            "unblock": "Let a blocked account trade again.",
            "require-signing": "Take signed commands only for an account.",
            "allow-unsigned": "Take commands for an account whether they are signed or not.",
            "master-key": "Print a new master key.",
            "reseal": "Seal all secrets under the first master key.",
        },
    ),
    "db": (
        "The order database itself.",
        {
            "status": "Say which database is used, and whether it is up to date.",
            "migrate": "Bring the database up to date.",
            "backup": "Copy the database into one file.",
            "restore": "Make an empty database what such a file holds.",
        },
    ),
}
for _group, (_about, _commands) in _GROUPS.items():
    _sub = App(name=_group, help=_about)
    for _name, _help in _commands.items():
        _function = {"list": "list_"}.get(_name, _name.replace("-", "_"))
        _sub.command(f"gateway.commands.{_group}:{_function}", name=_name, help=_help)
    app.command(_sub)


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
