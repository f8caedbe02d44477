"""The units and the Dockerfile: what they name is there, and the tools that know their languages find nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.config import ServerConfig
from gateway.limits import Limits
from gateway.net.port import BACKLOG
from oms.service import OmsConfig
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
HADOLINT = Path(sys.executable).with_name("hadolint")


def settings(unit: str) -> dict[str, str]:
    """Of a unit, by name; none is given twice but those that are known to be."""
    found: dict[str, str] = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if match := re.match(r"(\w+)=(.*)", line):
            assert match[1] not in found, match[1]
            found[match[1]] = match[2]
    return found


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"\\\n", "", (DEPLOY / "Dockerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def test_the_service_is_told_as_the_gateway_tells() -> None:
    service = settings("tickwire.service")
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("tickwire serve --config /etc/tickwire/tickwire.toml")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["KillMode"] == "mixed", "a signal to all would end the database before the orders"
    stop_s = next(field.default for field in msgspec.structs.fields(OmsConfig) if field.name == "stop_s")
    ends_s = Limits().drain_ms / 1000 + 2 * stop_s
    assert float(service["TimeoutStopSec"]) > ends_s
    assert int(service["LimitNOFILE"]) > Limits().connections_max * 2
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} == set(service["RestrictAddressFamilies"].split())


def test_the_socket_is_the_port_of_the_gateway() -> None:
    found = settings("tickwire.socket")
    assert found["ListenStream"] == str(ServerConfig().port)
    assert found["Backlog"] == str(BACKLOG)
    assert settings("tickwire.service")["Requires"] == "tickwire.socket"


def test_the_image_runs_without_rights_and_without_a_compiler() -> None:
    found = list(instructions())
    words = [word for word, _ in found]
    images = [rest for word, rest in found if word == "FROM"]
    assert len(images) == 2
    assert "slim" in images[1]
    last = found[len(words) - words[::-1].index("FROM") :]
    by_word = dict(last)
    assert int(by_word["USER"]) > 0
    assert by_word["EXPOSE"] == str(ServerConfig().port)
    assert by_word["STOPSIGNAL"] == "SIGTERM"
    assert "TICKWIRE_SERVER__HOST=0.0.0.0" in by_word["ENV"]
    assert by_word["ENTRYPOINT"] == '["/opt/tickwire/bin/tickwire"]'
    constraints = next(rest for word, rest in found if "--constraint" in rest)
    assert (ROOT / constraints.split("--constraint ")[1].split()[0]).exists()


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed: it comes with the extra `dev`")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    ended = subprocess.run(
        [HADOLINT, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in ("tickwire.service", "tickwire.socket"):
        text = (DEPLOY / unit).read_text()
        (tmp_path / unit).write_text(text.replace("/opt/tickwire/bin/tickwire", shutil.which("true") or ""))
    words = ["systemd-analyze", "verify", str(tmp_path / "tickwire.service"), str(tmp_path / "tickwire.socket")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in ended.stderr.splitlines() if "tickwire" in line]
    assert said == []
