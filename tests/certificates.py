"""Certificates for tests: an authority of our own, what a server shows, and a client that believes it."""

from __future__ import annotations

import datetime
import functools
import ssl
from pathlib import Path
from typing import NamedTuple

import trustme


class Files(NamedTuple):
    """A chain and its key, as an operator has them."""

    certificate: Path
    key: Path


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def issue(folder: Path, *, until: datetime.datetime | None = None) -> Files:
    """A new certificate for this machine, over the one that is there."""
    made = authority().issue_cert("localhost", "127.0.0.1", not_after=until)
    files = Files(folder / "chain.pem", folder / "key.pem")
    files.certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    files.key.write_bytes(made.private_key_pem.bytes())
    return files


def client(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that knows the authority, and no version of TLS above this."""
    context = ssl.create_default_context()
    context.maximum_version = newest
    authority().configure_trust(context)
    return context
