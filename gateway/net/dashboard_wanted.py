"""What one client of the dashboard dialect wants to be told: of which channel everything, or which symbols.

Pure: it has everything when it is new, and its first `subscribe` begins anew with what that names. Must not know what
there is to be told, nor a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.errors import TickwireError
from gateway.wire import dashboard


class Choice(NamedTuple):
    """Of one channel: everything but `less`, or nothing; and `more` beside that."""

    everything: bool = True
    more: frozenset[str] = frozenset()
    less: frozenset[str] = frozenset()


NOTHING = Choice(everything=False)


class Wanted:
    """Of one connection. A channel that is not there is not wanted."""

    __slots__ = ("_choices", "_is_new", "_symbols_max")

    def __init__(self, symbols_max: int) -> None:
        """`symbols_max`: that one channel may name, or leave out."""
        self._choices: dict[str, Choice] = dict.fromkeys(dashboard.CHANNELS, Choice())
        self._is_new = True
        self._symbols_max = symbols_max

    def __len__(self) -> int:
        return len(self._choices)

    def subscribe(self, channel: str, symbols: Iterable[str]) -> None:
        """These too; none named: everything. Raises TickwireError: then nothing has changed."""
        named = frozenset(symbols)
        old = NOTHING if self._is_new else self._choices.get(channel, NOTHING)
        new = old._replace(more=old.more | named, less=old.less - named) if named else Choice(more=old.more)
        self._check(new)
        if self._is_new:
            self._choices = {}
            self._is_new = False
        self._choices[channel] = new

    def unsubscribe(self, channel: str, symbols: Iterable[str]) -> None:
        """Not these; none named: nothing of the channel. Raises TickwireError: then nothing has changed."""
        named, old = frozenset(symbols), self._choices.get(channel)
        if old is None:
            return
        new = old._replace(more=old.more - named, less=old.less | named if old.everything else old.less)
        self._check(new)
        if named and (new.everything or new.more):
            self._choices[channel] = new
        else:
            del self._choices[channel]

    def has(self, channel: str) -> bool:
        return channel in self._choices

    def choice(self, channel: str) -> Choice:
        """What of a channel."""
        return self._choices.get(channel, NOTHING)

    def shows(self, channel: str, symbol: str) -> bool:
        """Whether what happens to a symbol is to be told."""
        choice = self.choice(channel)
        return symbol in choice.more or (choice.everything and symbol not in choice.less)

    def of(self, channel: str, known: Iterable[str]) -> frozenset[str]:
        """The symbols of a channel, where everything is `known`."""
        choice = self.choice(channel)
        return choice.more | (frozenset(known) - choice.less if choice.everything else frozenset())

    def _check(self, choice: Choice) -> None:
        if len(choice.more) + len(choice.less) > self._symbols_max:
            text = f"a channel may name {self._symbols_max} symbols"
            raise TickwireError("too_many_subscriptions", text)
