"""HTTP without TLS for tests: what httpx would load certificates for with every client, 15 ms each."""

from __future__ import annotations

import ssl
from typing import Final

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
