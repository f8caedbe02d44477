"""Keys that sign tokens: the vectors of RFC 8037, and files that are no such key."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest

from oms.token_keys import EDDSA, HS256, KeyFileError, TokenKey, load, new_file, new_signing_key, parse, public_file

# RFC 8037 appendix A.1, A.2 and A.4
D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
PRIVATE = {"kty": "OKP", "crv": "Ed25519", "d": D, "x": X}
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": X}
HEADER = "eyJhbGciOiJFZERTQSJ9"
PAYLOAD = "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
RSA_PEM = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL6Ul6tgWGyDMcmjDmqSzmyM3oNSI0mP
rmjcqHKfdfv8jmDk0yXKmRyJUzBf5JyO6cxCYXkcBbrPL0fRNzQhQDMCAwEAAQ==
-----END PUBLIC KEY-----
"""


def test_the_vectors_of_rfc_8037() -> None:
    """Signing is deterministic, so the signature itself is compared; the payload is no JSON, as there."""
    pair = parse(EDDSA, json.dumps(PRIVATE).encode())
    algorithm = jwt.get_algorithm_by_name("EdDSA")
    made = algorithm.sign(f"{HEADER}.{PAYLOAD}".encode(), pair.signing)
    assert base64.urlsafe_b64encode(made).rstrip(b"=").decode() == SIGNATURE
    public = parse(EDDSA, json.dumps(PUBLIC).encode())
    assert public.signing is None
    signed = f"{HEADER}.{PAYLOAD}.{SIGNATURE}"
    assert jwt.PyJWS().decode(signed, public.verifying, algorithms=["EdDSA"]) == b"Example of Ed25519 signing"
    changed = f"{HEADER}.{PAYLOAD[:-1]}A.{SIGNATURE}"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.PyJWS().decode(changed, public.verifying, algorithms=["EdDSA"])


def test_a_made_key_is_one_and_its_public_half_is_another_file() -> None:
    made = new_file(EDDSA)
    pair, public = parse(EDDSA, made.encode()), parse(EDDSA, public_file(made).encode())
    assert pair.signing is not None
    assert (public.signing, public.verifying) == (None, pair.verifying)
    assert len(parse(HS256, new_file(HS256).encode()).signing) == 32
    assert new_file(HS256) != new_file(HS256)


BAD = {
    "nothing": (EDDSA, ""),
    "no PEM": (EDDSA, "MCowBQYDK2VwAyEA"),
    "RSA": (EDDSA, RSA_PEM),
    "JWK of another curve": (EDDSA, json.dumps(PUBLIC | {"crv": "X25519"})),
    "JWK of another kind": (EDDSA, json.dumps(PUBLIC | {"kty": "EC"})),
    "JWK without a key": (EDDSA, "{}"),
    "JWK of bytes that are too few": (EDDSA, json.dumps(PUBLIC | {"x": "AAAA"})),
    "JWK whose halves do not fit": (EDDSA, json.dumps(PRIVATE | {"x": "A" * 43})),
    "no JSON": (EDDSA, "{["),
    "deep JSON": (EDDSA, '{"a":' * 100_000),
    "a public key as the secret": (HS256, public_file(json.dumps(PRIVATE))),
    "short": (HS256, base64.urlsafe_b64encode(b"x" * 31).decode()),
    "no base64": (HS256, "é" * 50),
}


@pytest.mark.parametrize(("algorithm", "content"), BAD.values(), ids=BAD)
def test_what_is_no_key_is_refused_and_not_repeated(algorithm: str, content: str) -> None:
    with pytest.raises(KeyFileError) as raised:
        parse(algorithm, content.encode())
    assert not content or content not in str(raised.value)


def test_a_secret_is_read_from_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_text(new_file(EDDSA))
    public.write_text(public_file(private.read_text()))
    private.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load(private, EDDSA, is_ours=True)
    private.chmod(0o600)
    assert load(private, EDDSA, is_ours=True).signing is not None
    assert load(public, EDDSA, is_ours=False).signing is None
    with pytest.raises(KeyFileError, match="only its public key belongs here"):
        load(private, EDDSA, is_ours=False)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load(tmp_path / "none", EDDSA, is_ours=True)
    with pytest.raises(KeyFileError, match="base64url"):
        load(public, HS256, is_ours=True)


def test_a_key_is_not_shown() -> None:
    key = new_signing_key()
    assert repr(key.pair.signing) not in repr(key) + repr(key.pair)
    assert key.is_ours
    assert not TokenKey(kid="k", algorithm=HS256, pair=key.pair, issuer="https://idp.example").is_ours
