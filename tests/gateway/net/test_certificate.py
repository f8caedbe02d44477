"""The certificate: files that can be used and such that cannot, read again, and how its end is told."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from gateway.config import ServerConfig
from gateway.net.certificate import DAY_S, NOTICE_DAYS, Certificate, CertificateError
from tests.certificates import Files, issue


def encrypt(files: Files, password: str) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    files.key.write_bytes(sealed)


def test_only_a_server_with_both_files_has_tls(tmp_path: Path) -> None:
    files = issue(tmp_path)
    assert Certificate.of(ServerConfig()) is None
    found = Certificate.of(ServerConfig(tls_certificate=str(files.certificate), tls_key=str(files.key)))
    assert found is not None
    with pytest.raises(ValueError, match="tls_certificate: needs tls_key"):
        ServerConfig(tls_key=str(files.key))


def test_its_end_is_that_of_our_own_certificate(tmp_path: Path) -> None:
    until = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    assert Certificate(*issue(tmp_path, until=until)).expires_s == until.timestamp()


def test_an_encrypted_key_needs_its_password_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    files = issue(tmp_path)
    encrypt(files, "open sesame")
    Certificate(*files, "open sesame")
    for password in (None, "wrong"):
        with pytest.raises(CertificateError, match=r"key\.pem"):
            Certificate(*files, password)
    assert "sesame" not in repr(ServerConfig(tls_certificate="c", tls_key="k", tls_key_password="open sesame"))


@pytest.mark.parametrize("content", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("which", ["certificate", "key"])
def test_files_that_cannot_be_used_are_named(tmp_path: Path, which: str, content: str) -> None:
    files = issue(tmp_path)
    getattr(files, which).write_text(content)
    with pytest.raises(CertificateError, match=r"chain\.pem"):
        Certificate(*files)


def test_a_key_of_another_certificate_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, other = issue(tmp_path), issue(tmp_path / "other")
    with pytest.raises(CertificateError, match="KEY_VALUES_MISMATCH"):
        Certificate(ours.certificate, other.key)
    with pytest.raises(CertificateError, match="No such file"):
        Certificate(tmp_path / "none.pem", ours.key)


def test_reading_again_takes_the_new_one_or_keeps_the_old_and_says_so(tmp_path: Path) -> None:
    files = issue(tmp_path)
    certificate = Certificate(*files)
    first = certificate.context
    files.key.write_text("half of a ke")
    with capture_logs() as logs:
        assert not certificate.reload()
    assert (certificate.context, logs[0]["log_level"]) == (first, "error")
    until = datetime.datetime(2031, 1, 1, tzinfo=datetime.UTC)
    issue(tmp_path, until=until)
    assert certificate.reload()
    assert certificate.context is not first
    assert certificate.expires_s == until.timestamp()


def test_an_end_that_is_near_is_told_once_a_day_until_there_is_another(tmp_path: Path) -> None:
    certificate = Certificate(*issue(tmp_path))
    end_s = certificate.expires_s

    def told(now_s: float) -> list[int]:
        with capture_logs() as logs:
            certificate.remind(now_s)
        return [entry["days"] for entry in logs]

    assert told(end_s - (NOTICE_DAYS + 1) * DAY_S) == []
    assert told(end_s - 3 * DAY_S) == [3]
    assert told(end_s - 3 * DAY_S + 3600) == []
    assert told(end_s - 2 * DAY_S) == [2]
    assert certificate.reload()
    assert told(end_s - 2 * DAY_S + 1) == [1]
    assert told(end_s + 2 * DAY_S) == [-2]
