"""`OmsCcxtExchange`: the gateway as one of ccxt's exchanges that are called and answer.

Holds how a plan is carried out by waiting. Must not know a unified method.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ccxt.base.errors import BaseError, ExchangeClosedByUser, ExchangeError, NetworkError
from ccxt.base.exchange import Exchange
from requests.exceptions import (
    InvalidHeader,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    RequestException,
    TooManyRedirects,
)

from driver.base import Base
from driver.plan import Ask, Pause, Plan, give_methods

NEVER_SENT = (InvalidURL, InvalidSchema, MissingSchema, InvalidHeader, TooManyRedirects)


class OmsCcxtExchange(Base, Exchange):  # type: ignore[misc]  # ccxt is not followed: its classes are Any
    """One account of a gateway, as ccxt has them: `OmsCcxtExchange({"apiKey": .., "options": {"account_id": 1}})`."""

    validateServerSsl: Any  # noqa: N815  # ccxt's: whether, and by which file, certificates are believed

    def __init__(self, config: dict[str, Any] = {}) -> None:
        own_session = config.get("session") is None
        super().__init__(config)
        if own_session:
            self.session.max_redirects = 0  # whoever a redirect leads to would get the key
        if config.get("cafile") and self.validateServerSsl is True:
            self.validateServerSsl = config["cafile"]  # ccxt's awaited classes take it, and this is what requests takes

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """As ccxt's, but an answer that broke off is no refusal. Raises NetworkError for it."""
        try:
            return super().fetch(url, method, headers, body)
        except ExchangeError as error:
            cause = error.__cause__
            if (
                type(error) is ExchangeError
                and isinstance(cause, RequestException)
                and not isinstance(cause, NEVER_SENT)
            ):
                raise NetworkError(f"{self.id} {method} {url}: {cause}") from cause
            raise

    def close(self, *arguments: Any, **named: Any) -> None:
        """As ccxt's. What waits to be tried again raises ExchangeClosedByUser, and does not open it anew."""
        self._closes += 1
        super().close(*arguments, **named)

    def carry_out(self, plan: Plan[Any]) -> Any:
        """The result of a plan, or what it raises. Nothing of it is asked for any more once the program has closed."""
        closes = self._closes
        step: Callable[[], Any] = functools.partial(next, plan)
        while True:
            try:
                asked = step()
            except StopIteration as ended:
                return ended.value
            if self._closes != closes and not isinstance(asked, Pause):
                step = functools.partial(plan.throw, ExchangeClosedByUser(f"{self.id} was closed by the program"))
                continue
            try:
                answer = self._answer(asked)
            except BaseError as error:
                step = functools.partial(plan.throw, error)
            else:
                step = functools.partial(plan.send, answer)

    def _answer(self, asked: Any) -> Any:
        if isinstance(asked, Ask):
            return self.request(asked.path, asked.api, asked.method, {"content": asked.content})
        if isinstance(asked, Pause):
            return self.sleep(asked.time_ms)
        return getattr(self, asked.name)(*asked.arguments)


def _carried_out(plan: Callable[..., Plan[Any]]) -> Callable[..., Any]:
    @functools.wraps(plan)
    def method(self: OmsCcxtExchange, *arguments: Any, **named: Any) -> Any:
        return self.carry_out(plan(self, *arguments, **named))

    return method


give_methods(OmsCcxtExchange, _carried_out)
