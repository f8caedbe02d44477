"""Configuration: what an operator may set, read from TOML and the environment, and every mistake explained at once.

Holds the shape of a configuration and where each value came from. Must not open a socket nor know ccxt; an
exchange's own options are a table it passes on unread. No message repeats a value that may be secret.

A setting `port` of `[server]` is overridden by `TICKWIRE_SERVER__PORT`; lists and tables are written as JSON there.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from gateway.limits import Limits
from gateway.sources.config import ExchangeConfig

ENV_PREFIX: Final = "TICKWIRE_"
KeyPath = tuple[str, ...]


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to listen. Market data needs no credentials yet, so only this machine may ask unless told otherwise."""

    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8765  # 0: any free one

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the host."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much to log, and how: `auto` is for people on a terminal and JSON everywhere else."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it. `default_exchange` is the one meant when a client names a symbol without an exchange."""

    server: ServerConfig = ServerConfig()
    default_exchange: str | None = None
    exchanges: dict[str, ExchangeConfig] = {}
    limits: Limits = Limits()
    log: LogConfig = LogConfig()


class Problem(NamedTuple):
    """One mistake: where it stands, which setting it is, and what would be right."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with every problem found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Origin(NamedTuple):
    """Where values came from, to point at the line or the variable that is wrong."""

    file: str
    lines: dict[KeyPath, int]
    variables: dict[KeyPath, str]

    def of(self, path: KeyPath) -> str:
        """The variable or line of a setting, else of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if variable := self.variables.get(path[:length]):
                return f"environment variable {variable}"
            if line := self.lines.get(path[:length]):
                return f"{self.file}:{line}"
        return self.file


def where(file: Path | None, environ: Mapping[str, str], path: KeyPath) -> str:
    """Where a setting of a configuration that loads was made, to explain what only its user finds wrong with it."""
    origin = Origin(str(file or "configuration"), key_lines(_read(file)) if file else {}, {})
    list(_override({}, environ, origin))
    return origin.of(path)


def load(file: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of a file (or none) and the environment; raises ConfigError with every problem."""
    data: dict[str, Any] = {}
    origin = Origin(str(file or "configuration"), {}, {})
    if file is not None:
        text = _read(file)
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([_broken_toml(file, text, error)]) from None
        origin.lines.update(key_lines(text))
    problems = list(_override(data, environ, origin))
    values = dict(_sections(data, origin, problems))
    if problems:
        raise ConfigError(problems)
    config = Config(**values)
    if problem := _default_exchange(config, origin):
        raise ConfigError([problem])
    if config.default_exchange is None and len(config.exchanges) == 1:
        return msgspec.structs.replace(config, default_exchange=next(iter(config.exchanges)))
    return config


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([Problem(str(file), "", "there is no such file; name another with --config")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(file), "", f"cannot be read: {error}")]) from None


def _broken_toml(file: Path, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    """tomllib ends its messages with the place, or with `at end of document`."""
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error), re.DOTALL)
    line = int(found[2]) if found else len(text.splitlines())
    message = found[1] if found else str(error)
    return Problem(f"{file}:{line}", "", f"not TOML: {message}; strings are written in double quotes")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of each key and table header of valid TOML. Keys of inline tables count as their line's key."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            if path := _dotted(found[1]):
                table = path
                lines.setdefault(path, number)
        elif (found := re.match(r"\s*([^=#\[\]{}]+?)\s*=", line)) and (path := _dotted(found[1])):
            lines.setdefault((*table, *path), number)
    return lines


def _dotted(key: str) -> KeyPath:
    """The parts of a TOML key; nothing when the text only looked like one (inside a multi-line string)."""
    try:
        node: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: KeyPath = ()
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        path = (*path, name)
    return path


def _override(data: dict[str, Any], environ: Mapping[str, str], origin: Origin) -> Iterator[Problem]:
    """Put `TICKWIRE_A__B=value` at a.b. Other names of ours (switches of build and tests) have no double underscore."""
    for variable, text in sorted(environ.items()):
        path = tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))
        ours = variable.startswith(ENV_PREFIX) and (len(path) > 1 or path[0] in Config.__struct_fields__)
        if not ours:
            continue
        where = f"environment variable {variable}"
        if path[0] not in Config.__struct_fields__:
            yield Problem(where, ".".join(path), _unknown(path[0], Config.__struct_fields__))
            continue
        value: Any = text
        if text.lstrip()[:1] in {"[", "{"}:
            try:
                value = msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                yield Problem(where, ".".join(path), f"looks like JSON but is not: {error}")
                continue
        node = data
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                yield Problem(where, ".".join(path), f"{part} is a single value, not a table")
                break
        else:
            node[path[-1]] = value
            origin.variables[path] = variable


def _sections(data: dict[str, Any], origin: Origin, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """(field, value) of each top-level setting; a section is converted alone, an exchange alone by its name."""
    types: dict[str, Any] = {"server": ServerConfig, "limits": Limits, "log": LogConfig}
    for name, value in data.items():
        if name in types:
            yield name, _convert(value, types[name], (name,), origin, problems)
        elif name == "default_exchange":
            yield name, _convert(value, str, (name,), origin, problems)
        elif name == "exchanges":
            tables = _convert(value, dict[str, Any], (name,), origin, problems) or {}
            yield (
                name,
                {key: _convert(table, ExchangeConfig, (name, key), origin, problems) for key, table in tables.items()},
            )
        else:
            problems.append(Problem(origin.of((name,)), name, _unknown(name, Config.__struct_fields__)))


def _convert(value: Any, to: Any, path: KeyPath, origin: Origin, problems: list[Problem]) -> Any:
    """`value` as `to`. msgspec stops at the first mistake: note it, take the culprit out, and look for the next."""
    while True:
        try:
            # Not strict, because every value of the environment is text.
            return msgspec.convert(value, to, strict=False)
        except msgspec.ValidationError as error:
            inner, message = _explain(str(error), to)
            problems.append(
                Problem(origin.of((*path, *inner)), ".".join((*path, *inner)), message.removeprefix(f"{path[0]}: "))
            )
            if not (isinstance(value, dict) and inner and inner[0] in value):
                return None
            value = {key: item for key, item in value.items() if key != inner[0]}


def _explain(error: str, to: Any) -> tuple[KeyPath, str]:
    """Where in the section msgspec's message points, and the message with what would be right."""
    message, _, place = error.partition(" - at `$")
    path = tuple(part for part in re.split(r"[.\[\]`]+", place) if part and part != "...")
    if found := re.match(r"Object contains unknown field `(.*)`", message):
        names = () if path else _names(to)
        return (*path, found[1]), _unknown(found[1], names)
    if found := re.match(r"Object missing required field `(.*)`", message):
        return path, f"`{found[1]}` is missing: it has no default"
    message = message[:1].lower() + message[1:]
    for field in msgspec.structs.fields(to) if isinstance(to, type) and issubclass(to, msgspec.Struct) else ():
        if path and field.encode_name == path[0] and isinstance(field.default, str | int | float):
            message += f"; the default is {field.default!r}"
    return path, message


def _names(to: Any) -> tuple[str, ...]:
    is_struct = isinstance(to, type) and issubclass(to, msgspec.Struct)
    return tuple(field.encode_name for field in msgspec.structs.fields(to)) if is_struct else ()


def _unknown(name: str, names: tuple[str, ...]) -> str:
    """What to write instead of a name nobody knows."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"unknown; did you mean `{close[0]}`?"
    return f"unknown; there is {', '.join(names)}" if names else "unknown"


def _default_exchange(config: Config, origin: Origin) -> Problem | None:
    name = config.default_exchange
    if name is None or name in config.exchanges:
        return None
    return Problem(
        origin.of(("default_exchange",)),
        "default_exchange",
        f"no exchange `{name}` is configured: {_unknown(name, tuple(config.exchanges))}"
        if config.exchanges
        else f"no exchange is configured: add a table [exchanges.{name}]",
    )
