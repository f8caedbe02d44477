"""A strategy of freqtrade that buys whenever a candle has closed, and sells seconds later.

For trying out a connection, not for money: much happens, and nothing is won. A configuration is beside it;
docs/driver.md says how both are run.
"""

from datetime import datetime
from typing import Any, ClassVar

from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy
from pandas import DataFrame

HELD_S = 3


class EveryMinute(IStrategy):  # type: ignore[misc]  # freqtrade has an environment of its own, where no types are read
    INTERFACE_VERSION = 3
    timeframe = "1m"
    startup_candle_count = 0
    process_only_new_candles = True
    minimal_roi: ClassVar[dict[str, float]] = {"0": 10.0}
    stoploss = -0.5
    order_types: ClassVar[dict[str, Any]] = {
        "entry": "limit", "exit": "limit", "stoploss": "limit", "stoploss_on_exchange": False,
    }  # fmt: skip

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def custom_exit(
        self, pair: str, trade: Trade, current_time: datetime, current_rate: float, current_profit: float, **_: Any
    ) -> str | None:
        held_s = (current_time - trade.open_date_utc).total_seconds()
        return "held long enough" if held_s >= HELD_S else None
