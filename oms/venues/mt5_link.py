"""The way to a MetaTrader5 module: in this process, or in another one behind an RPyC server.

Holds how its functions are reached. Every call blocks: it belongs into a thread. Must not know what is asked, nor how
an answer is understood. MetaTrader5 is there on Windows alone, so most gateways speak to a server, such as the one
that mt5linux starts (`python -m mt5linux`), which is RPyC's classic one.
"""

from __future__ import annotations

import importlib
import inspect
import socket
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

import msgspec

from oms.errors import OmsError
from oms.venues import mt5_remote

MODULE: Final = "MetaTrader5"
LIBRARIES: Final = "C:\\mt5libs"  # where mt5linux's container has it; nobody else has anything there


class Mt5Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`options` of an exchange of class `mt5`."""

    host: str | None = None  # of an RPyC server; None: the module is in this process
    port: int = 18812
    server: str = ""  # the broker's, as the terminal names it; empty: the one it knows
    path: str = ""  # of the terminal, where the module does not find it
    timeout_s: float = 5.0  # of one call

    def __post_init__(self) -> None:
        if not 0 < self.port < 65_536 or self.timeout_s <= 0:
            raise ValueError("port is 1 to 65535, and timeout_s above 0")


def read_options(options: Mapping[str, Any]) -> Mt5Options:
    """Raises OmsError."""
    try:
        return msgspec.convert(dict(options), Mt5Options)
    except msgspec.ValidationError as error:
        raise OmsError("validation_error", f"options: {error}", details={"setting": "options"}) from None


class Link(Protocol):
    """An open way."""

    def call(self, function: str, *args: Any) -> Any:
        """A function of `mt5_remote` on the module."""

    def close(self) -> None:
        """From the thread of the calls."""

    def abort(self) -> None:
        """From any thread: a call that waits is to end, where that is possible."""


class LocalLink:
    """The module in this process. It is one terminal's, so whoever uses it takes turns."""

    _turn: ClassVar[threading.Lock] = threading.Lock()
    _counting: ClassVar[threading.Lock] = threading.Lock()
    _users: ClassVar[int] = 0

    def __init__(self, options: Mt5Options) -> None:
        """Raises OmsError where there is no such module."""
        try:
            self._module = importlib.import_module(MODULE)
        except ImportError:
            text = f"the package {MODULE} is not installed here: name the host of an RPyC server that has it"
            raise OmsError("unsupported_engine", text) from None
        self._timeout_s = options.timeout_s
        with self._counting:
            LocalLink._users += 1

    def call(self, function: str, *args: Any) -> Any:
        if not self._turn.acquire(timeout=self._timeout_s):
            raise TimeoutError("a call before this one hangs")
        try:
            return getattr(mt5_remote, function)(self._module, *args)
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._counting:
            LocalLink._users -= 1
            if not LocalLink._users:
                self._module.shutdown()

    def abort(self) -> None:
        """A call of a module cannot be ended."""


class RemoteLink:
    """The module in the process of an RPyC server, to which nothing of ours is open."""

    def __init__(self, options: Mt5Options) -> None:
        """Raises OmsError without rpyc, and OSError or EOFError where there is no such server."""
        try:
            rpyc = importlib.import_module("rpyc")
        except ImportError:
            raise OmsError("unsupported_engine", "rpyc is not installed: pip install tickwire-server[mt5]") from None
        assert options.host is not None
        self._socket = socket.create_connection((options.host, options.port), options.timeout_s)
        try:
            # A void service, and nothing unpickled: who is asked can run no code here.
            settings = {"sync_request_timeout": options.timeout_s, "allow_pickle": False}
            stream = importlib.import_module("rpyc.core.stream").SocketStream(self._socket)
            self._connection = rpyc.connect_stream(stream, rpyc.VoidService, config=settings)
            root = self._connection.root
            root.execute(inspect.getsource(mt5_remote))  # into names that are this connection's alone
            root.execute(f"import sys\nsys.path.append({LIBRARIES!r})\nimport {MODULE}")
            self._call = root.eval(f"lambda function, *args: globals()[function]({MODULE}, *args)")
        except BaseException:
            self._socket.close()
            raise

    def call(self, function: str, *args: Any) -> Any:
        return self._call(function, *args)

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            return


def open_link(options: Mt5Options) -> Link:
    """The way that is configured. Blocks."""
    return LocalLink(options) if options.host is None else RemoteLink(options)
