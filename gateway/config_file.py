"""Configuration, as it is read: from TOML and the environment, and every mistake explained at once.

Holds where each value came from, and what would have been right. Must not open a socket nor know what a setting is for:
`gateway.config` has their shapes. No message repeats a value that may be secret.

A setting `port` of `[server]` is overridden by `TICKWIRE_SERVER__PORT`; a value there is JSON where it reads as JSON.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import msgspec

from gateway.config import SECTIONS, Config, FeedConfig
from gateway.sources.config import ExchangeConfig

ENV_PREFIX: Final = "TICKWIRE_"
ALIASES: Final = {  # settings that are known by a name without their table
    "TICKWIRE_DATABASE_URL": "TICKWIRE_OMS__DATABASE_URL",
    "TICKWIRE_DASHBOARD_ACCOUNT_ID": "TICKWIRE_DASHBOARD__ACCOUNT_ID",
    "WEBSOCKET_ENABLED": "TICKWIRE_DASHBOARD__ENABLED",
    "WEBSOCKET_PING_INTERVAL": "TICKWIRE_DASHBOARD__PING_INTERVAL_S",
    "WEBSOCKET_PRICE_UPDATE_INTERVAL": "TICKWIRE_DASHBOARD__PRICE_UPDATE_INTERVAL_S",
    "WEBSOCKET_PORTFOLIO_UPDATE_INTERVAL": "TICKWIRE_DASHBOARD__PORTFOLIO_UPDATE_INTERVAL_S",
    "WEBSOCKET_MAX_CONNECTIONS": "TICKWIRE_DASHBOARD__CONNECTIONS_MAX",
}
KeyPath = tuple[str, ...]


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
    text = _read(file) if file else ""
    origin = Origin(str(file or "configuration"), key_lines(text), {})
    list(_override(tomllib.loads(text), environ, origin))
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
    try:
        config = Config(**values)
    except ValueError as error:
        raise ConfigError([_link_window(data, origin, error)]) from None
    if problem := _default_exchange(config, origin) or _ping_interval(config, origin):
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
    is_bare = re.search(r"=\s*[^\s\"'\[{]", text.splitlines()[line - 1]) if text else None
    if is_bare and message.startswith(("Invalid value", "Expected newline")):
        message += "; strings are written in double quotes"
    return Problem(f"{file}:{line}", "", f"not TOML: {message}")


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
    """Put `TICKWIRE_A__B=value` at a.b; a value that is JSON is what it says, any other is text."""
    known = {name: text for name, text in environ.items() if name in ALIASES or name.startswith(ENV_PREFIX)}
    for variable, text in sorted(known.items(), key=lambda each: (each[0] not in ALIASES, each[0])):
        where = f"environment variable {variable}"
        parts = ALIASES.get(variable, variable).removeprefix(ENV_PREFIX).split("__")
        first = parts[0].lower()
        if len(parts) == 1 and first not in Config.__struct_fields__:
            if meant := _meant(variable, text):
                yield Problem(where, "", f"is no setting; did you mean `{meant}`?")
            continue
        if first not in Config.__struct_fields__:
            yield Problem(where, ".".join(parts).lower(), _unknown(first, Config.__struct_fields__))
            continue
        try:
            value: Any = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            if text.lstrip()[:1] in {"[", "{"}:
                yield Problem(where, ".".join(parts).lower(), f"looks like JSON but is not: {error}")
                continue
            value = text
        if problem := _put(data, parts, value, variable, origin):
            yield Problem(where, ".".join(parts).lower(), problem)


def _put(data: dict[str, Any], parts: list[str], value: Any, variable: str, origin: Origin) -> str | None:
    """Set what `parts` mean to `value`; what is wrong when they mean nothing. Tables on the way are made."""
    node: Any = data
    path: KeyPath = ()
    for part in parts:
        if not isinstance(node, dict):
            return f"{path[-1]} is a single value, not a table"
        like = [key for key in node if key.lower() == part.lower()]
        if part in node or not like:
            # Capitals are the custom for variables, so they say nothing; a mixture does.
            name = part.lower() if part.isupper() and part not in node else part
        elif len(like) == 1:
            (name,) = like
        else:
            return f"may be {' or '.join(like)}: write it as the file does"
        path = (*path, name)
        if len(path) == len(parts):
            node[name] = value
            origin.variables[path] = variable
        elif name not in node:
            node[name] = {}
            origin.variables[path] = variable  # the first that speaks of a table has made it
        node = node[name]
    return None


def _meant(variable: str, text: str) -> str | None:
    """The override that a variable seems to be a misspelling of. Others may have names with our prefix, too."""
    if re.search(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)", variable) or re.match(r"(tcp|udp)://", text):
        return None  # Kubernetes tells every container of a service `tickwire` so
    name = variable.removeprefix(ENV_PREFIX).lower()
    table, _, key = name.partition("_")
    if table in {"exchange", "exchanges"} and key:
        return f"{ENV_PREFIX}EXCHANGES__NAME__KEY"
    if table in SECTIONS and key:
        return f"{ENV_PREFIX}{table}__{key}".upper()
    settings = [(table, key) for table, struct in SECTIONS.items() for key in _names(struct)]
    spellings = {key: f"{table}__{key}" for table, key in settings}
    spellings |= {f"{table}_{key}": f"{table}__{key}" for table, key in settings}
    spellings["default_exchange"] = "default_exchange"
    close = difflib.get_close_matches(name, spellings, n=1, cutoff=0.8)
    return f"{ENV_PREFIX}{spellings[close[0]]}".upper() if close else None


def _sections(data: dict[str, Any], origin: Origin, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """(field, value) of each top-level setting; a section is converted alone, an exchange alone by its name."""
    for name, value in data.items():
        if name == "news" and _has_wrong_feed(value, origin, problems):
            yield name, None
        elif name in SECTIONS:
            yield name, _convert(value, SECTIONS[name], (name,), origin, problems)
        elif name == "default_exchange":
            yield name, _convert(value, str, (name,), origin, problems)
        elif name == "exchanges":
            tables = _convert(value, dict[str, Any], (name,), origin, problems) or {}
            for key in tables:
                if not key or ":" in key:
                    message = "no name for an exchange: clients write NAME:SYMBOL, so it is not empty and has no ':'"
                    problems.append(Problem(origin.of((name, key)), f'{name}."{key}"', message))
            yield (
                name,
                {key: _convert(table, ExchangeConfig, (name, key), origin, problems) for key, table in tables.items()},
            )
        else:
            problems.append(Problem(origin.of((name,)), name, _unknown(name, Config.__struct_fields__)))


def _has_wrong_feed(value: Any, origin: Origin, problems: list[Problem]) -> bool:
    """Look at each feed alone, so that a mistake is told with its name and line."""
    before = len(problems)
    feeds = value.get("feeds") if isinstance(value, dict) else None
    for name, feed in feeds.items() if isinstance(feeds, dict) else ():
        _convert(feed, FeedConfig, ("news", "feeds", name), origin, problems)
    return len(problems) > before


def _convert(value: Any, to: Any, path: KeyPath, origin: Origin, problems: list[Problem]) -> Any:
    """`value` as `to`. msgspec stops at the first mistake: note it, take the culprit out, and look for the next."""
    taken: set[str] = set()
    while True:
        try:
            # Not strict: `SANDBOX=1` and `SANDBOX=True` are what people write into the environment.
            return msgspec.convert(value, to, strict=False)
        except msgspec.ValidationError as error:
            if str(error) in {f"Object missing required field `{name}`" for name in taken}:
                return None  # it is there, and what is wrong with it has been told
            inner, message = _explain(str(error), to, value)
            problems.append(Problem(origin.of((*path, *inner)), ".".join((*path, *inner)), message))
            if not (isinstance(value, dict) and inner and inner[0] in value):
                return None
            taken.add(inner[0])
            value = {key: item for key, item in value.items() if key != inner[0]}


def _explain(error: str, to: Any, value: Any) -> tuple[KeyPath, str]:
    """Where in the section msgspec's message points, and the message with what would be right."""
    message, _, place = error.partition(" - at `$")
    path = tuple(part for part in re.split(r"[.\[\]`]+", place) if part and part != "...")
    if found := re.match(r"Object contains unknown field `(.*)`", message):
        names = () if path else _names(to)
        return (*path, found[1]), _unknown(found[1], names)
    if found := re.match(r"Object missing required field `(.*)`", message):
        return path, f"`{found[1]}` is missing: it has no default"
    if not path and isinstance(value, dict):
        # A rule of the section: its message names the settings it is about, of which one that was set is to blame.
        path = next(((word,) for word in re.findall(r"\w+", message) if word in value and word in _names(to)), ())
        message = message.removeprefix(f"{path[0]}: ") if path else message
    message = (message[:1].lower() + message[1:]).replace("`object`", "a table")
    for field in _fields(to):
        if path and field.encode_name == path[0]:
            if message.startswith("invalid enum value") and get_origin(field.type) is Literal:
                message += f"; there is {', '.join(get_args(field.type))}"
            if isinstance(field.default, str | int | float):
                message += f"; the default is {field.default!r}"
    return path, message


def _fields(to: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(to) if isinstance(to, type) and issubclass(to, msgspec.Struct) else ()


def _names(to: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in _fields(to))


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


def _link_window(data: Mapping[str, Any], origin: Origin, error: ValueError) -> Problem:
    """At what is set of it; at the window where nothing is."""
    names = ("link_window_bytes", "queue_append_bytes", "queue_bytes_max")
    path = ("limits", next((name for name in names if name in data.get("limits", {})), names[0]))
    return Problem(origin.of(path), ".".join(path), str(error))


def _ping_interval(config: Config, origin: Origin) -> Problem | None:
    path = ("dashboard", "ping_interval_s")
    if config.dashboard.ping_interval_s < config.limits.silence_s:
        return None
    return Problem(
        origin.of(path), ".".join(path), f"must be below limits.silence_s, which is {config.limits.silence_s:g}"
    )
