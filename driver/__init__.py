"""A gateway as one of ccxt's exchanges: `driver.sync`, `driver.async_` and `driver.pro` hold the classes.

`driver.register()` puts them where programs look exchanges up by name. A client: it speaks the wire and knows no more.
"""

from driver.registry import register as register
