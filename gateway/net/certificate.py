"""What the server shows of itself under TLS: a certificate chain and its key, from files, read again when told to.

Holds the one place where the versions of TLS are decided. Must not know a socket, nor who is shown it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from gateway.config import ServerConfig

log = structlog.get_logger(__name__)

DAY_S: Final = 86_400
NOTICE_DAYS: Final = 14  # before it expires: what renews certificates does it with a month left


class CertificateError(Exception):
    """The files cannot be used; says which, and why."""


class Certificate:
    """The certificate in use. A connection keeps the one it began with."""

    def __init__(self, chain: Path, key: Path, password: str | None = None) -> None:
        """Files in PEM: the chain with our own certificate first, and the key. Raises CertificateError."""
        self._chain = chain
        self._key = key
        self._password = password
        self._told_s = 0.0
        self.context, self.expires_s = self._load()

    @classmethod
    def of(cls, config: ServerConfig) -> Certificate | None:
        """The configured one, if there is TLS. Raises CertificateError."""
        if config.tls_certificate is None or config.tls_key is None:
            return None
        return cls(Path(config.tls_certificate), Path(config.tls_key), config.tls_key_password)

    def reload(self) -> bool:
        """Read the files again, for connections to come; with files that cannot be used the old one stays."""
        try:
            self.context, self.expires_s = self._load()
        except CertificateError as error:
            log.error("certificate is not taken over: the old one stays", reason=str(error))
            return False
        log.info("certificate read again", expires_s=int(self.expires_s))
        self._told_s = 0.0
        return True

    def remind(self, now_s: float) -> None:
        """Say once a day that it expires soon, or has. `now_s`: since the epoch."""
        if self.expires_s - now_s > NOTICE_DAYS * DAY_S or now_s - self._told_s < DAY_S:
            return
        self._told_s = now_s
        log.warning("certificate expires soon: renew it and send SIGHUP", days=int((self.expires_s - now_s) // DAY_S))

    def _load(self) -> tuple[ssl.SSLContext, float]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without any password OpenSSL would ask the terminal for one, and wait
            context.load_cert_chain(self._chain, self._key, self._password or "")
            leaf = x509.load_pem_x509_certificates(self._chain.read_bytes())[0]
        except ssl.SSLError as error:
            raise CertificateError(f"{self._chain} and {self._key}: {error.reason or 'not usable'}") from None
        except OSError as error:
            raise CertificateError(f"{self._chain} and {self._key}: {error.strerror or error}") from None
        except ValueError as error:
            raise CertificateError(f"{self._chain}: {error}") from None
        return context, leaf.not_valid_after_utc.timestamp()
