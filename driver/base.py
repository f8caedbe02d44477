"""What all kinds of client have in common: how they describe themselves, how a request is made, what an answer means.

Put before a class of ccxt in a list of bases. Must not know whether that waits or not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from ccxt.base.errors import BadRequest, NotSupported

from driver.asking import PREFER
from driver.by_cost import ByCost
from driver.description import description
from driver.errors import of_answer
from driver.market import Market, pass_through_methods
from driver.positions import Positions

SECRET_HEADERS: Final = frozenset({"x-api-key", "authorization", "proxy-authorization", "cookie"})


class Secret(str):
    """A text that is sent as it is, and that ccxt's `verbose` and logging show as stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def encoded(content: object) -> str:
    """As JSON; decimals and the numbers of other libraries too. Raises BadRequest for what is no value of JSON.

    ccxt's own would send the text of an error in its place.
    """
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"tickwire: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "item"):  # of numpy
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a value of JSON")


class Base(ByCost, Positions, Market):
    """See the module."""

    _closes = 0  # how often the program has closed it

    def describe(self) -> Any:
        return self.deep_extend(super().describe(), description(), {"has": dict(self.own_has)})  # type: ignore[misc]  # of ccxt

    def rest_url(self) -> str:
        """Where the gateway is: options['base_url'], else `urls`, with the `hostname` put in."""
        given = self.options.get("base_url")
        if given is None:
            api = self.urls["api"]
            given = api if isinstance(api, str) else api.get("rest") or api.get("public")
        return str(self.implode_hostname(str(given))).rstrip("/")

    def sign(
        self,
        path: str,
        api: Any = "public",
        method: str = "GET",
        params: Mapping[str, Any] = {},  # as ccxt has it
        headers: Any = None,
        body: Any = None,
    ) -> dict[str, Any]:
        """A request as ccxt sends it. `params["content"]` is the query of a GET and the body of a POST.

        Raises AuthenticationError when it needs credentials and there are none.
        """
        given = self.headers or {}
        if api == "private" and not any(name.lower() in SECRET_HEADERS for name in given):
            self.check_required_credentials()
        headers = {"Accept": "application/json"}
        if self.apiKey:
            headers["x-api-key"] = Secret(self.apiKey)
        url, content = f"{self.rest_url()}/{path}", params.get("content")
        if method == "GET":
            return {
                "url": f"{url}?{urlencode(content)}" if content else url,
                "method": method,
                "headers": headers,
                "body": None,
            }
        headers["Content-Type"] = "application/json"
        if path == "oms/commands":
            headers["Prefer"] = PREFER
        return {"url": url, "method": method, "headers": headers, "body": encoded(content)}

    def set_headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """Called by ccxt with all headers of a request, before it logs them."""
        return {
            name: Secret(value) if isinstance(value, str) and name.lower() in SECRET_HEADERS else value
            for name, value in super().set_headers(headers).items()  # type: ignore[misc]  # of ccxt
        }

    def set_sandbox_mode(self, enabled: bool) -> None:
        """Raises NotSupported when asked for: whether it is play money is a matter of the account, not of a URL."""
        if enabled:
            raise NotSupported(f"{self.id}: open an account of a sandbox at the gateway, and name it as account_id")

    def handle_errors(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, response: Any, *sent: Any
    ) -> None:
        """Called by ccxt with every answer. Raises what it means."""
        error = of_answer(code, response, body)
        if error is not None:
            raise error


for _name, _plan in pass_through_methods().items():
    if not hasattr(Base, _name):
        setattr(Base, _name, _plan)
