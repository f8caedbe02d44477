"""`OmsCcxtExchange`: the gateway as one of ccxt's exchanges that are awaited.

Holds how a plan is carried out on an event loop. Must not know a unified method.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from ccxt.async_support.base.exchange import Exchange
from ccxt.base.errors import BaseError, ExchangeClosedByUser, ExchangeError, NetworkError, NotSupported

from driver.base import Base
from driver.plan import Ask, Pause, Plan, give_methods


class Redirected(aiohttp.ClientError):
    """Whoever a redirect leads to would get the key: none is followed."""


class OmsCcxtExchange(Base, Exchange):  # type: ignore[misc]  # ccxt is not followed: its classes are Any
    """One account of a gateway, as ccxt has them: `OmsCcxtExchange({"apiKey": .., "options": {"account_id": 1}})`."""

    def open(self, *arguments: Any) -> None:  # versions of ccxt differ in them
        had_session = self.session is not None
        super().open(*arguments)
        if self.own_session and not had_session:
            self.session.trace_configs.append(_following_none())

    def get_socks_proxy_session(self, socksProxy: str) -> aiohttp.ClientSession:
        """As ccxt's; it follows no redirect either. Raises NotSupported without the library that it needs."""
        try:
            importlib.import_module("aiohttp_socks")
        except ImportError:  # not every version of ccxt says so
            raise NotSupported(f"{self.id} needs the package aiohttp_socks to use a SOCKS proxy") from None
        known = {*(self.socks_proxy_sessions or ())}
        session: aiohttp.ClientSession = super().get_socks_proxy_session(socksProxy)
        if socksProxy not in known:
            session.trace_configs.append(_following_none())
        return session

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """As ccxt's, but an answer that broke off is no refusal. Raises NetworkError for it."""
        try:
            return await super().fetch(url, method, headers, body)
        except ExchangeError as error:
            cause = error.__cause__
            if (
                type(error) is ExchangeError
                and isinstance(cause, aiohttp.ClientError | OSError)
                and not isinstance(cause, aiohttp.InvalidURL | Redirected)
            ):
                raise NetworkError(f"{self.id} {method} {url}: {cause}") from cause
            raise

    async def close(self, *arguments: Any, **named: Any) -> None:
        """As ccxt's. What waits to be tried again raises ExchangeClosedByUser, and does not open it anew."""
        self._closes += 1
        await super().close(*arguments, **named)

    async def close_session(self) -> None:
        """What a call has opened after the program had closed."""
        await super().close()

    async def carry_out(self, plan: Plan[Any]) -> Any:
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
                answer = await self._answer(asked)
            except BaseError as error:
                step = functools.partial(plan.throw, error)
            else:
                step = functools.partial(plan.send, answer)

    async def _answer(self, asked: Any) -> Any:
        if isinstance(asked, Ask):
            return await self.request(asked.path, asked.api, asked.method, {"content": asked.content})
        if isinstance(asked, Pause):
            return await self.sleep(asked.time_ms)
        return await getattr(self, asked.name)(*asked.arguments)


def _following_none() -> aiohttp.TraceConfig:
    async def refuse(_session: object, _context: object, params: aiohttp.TraceRequestRedirectParams) -> None:
        raise Redirected(f"{params.method} {params.url}: answered with a redirect, which is not followed")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    config.freeze()
    return config


def _carried_out(plan: Callable[..., Plan[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(plan)
    async def method(self: OmsCcxtExchange, *arguments: Any, **named: Any) -> Any:
        return await self.carry_out(plan(self, *arguments, **named))

    return method


give_methods(OmsCcxtExchange, _carried_out)
