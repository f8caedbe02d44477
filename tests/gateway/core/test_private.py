"""What becomes of a refusal of the room of accounts, and that this room is what the gateway asks for."""

from __future__ import annotations

import pytest

from gateway.core.private import Accounts, PrivateStreams, refused, refusing
from gateway.errors import TickwireError
from oms.errors import OmsError
from oms.outbox import Outbox
from oms.service import Oms


def test_a_refusal_keeps_all_it_says() -> None:
    refusal = OmsError("account_not_found", "there is none", details={"account_id": 1}, retry_after_ms=5)
    known = refused(refusal)
    assert known is not None
    assert (known.code, known.message, known.details, known.retry_after_ms) == (
        "account_not_found", "there is none", {"account_id": 1}, 5,
    )  # fmt: skip
    ours = refused(TickwireError("rate_limited", "slow down"))
    assert ours is not None
    assert ours.code == "rate_limited"


def test_what_is_no_refusal_is_a_fault() -> None:
    assert refused(ValueError("code")) is None
    assert refused(OmsError("no_such_code", "a code nobody knows")) is None


def test_what_is_refused_within_is_raised_as_ours_and_faults_as_they_are() -> None:
    with pytest.raises(TickwireError) as refusal, refusing():
        raise OmsError("account_not_found", "there is none")
    assert refusal.value.code == "account_not_found"
    with pytest.raises(ValueError, match="a fault"), refusing():
        raise ValueError("a fault")


def test_the_room_is_what_is_asked_for() -> None:
    """The type checker says so of these two; here only that they can be called as they are."""

    def streams_of(outbox: Outbox) -> PrivateStreams:
        return outbox

    def accounts_of(oms: Oms) -> Accounts:
        return oms

    for theirs, ours in ((Outbox, PrivateStreams), (Oms, Accounts)):
        names = {name for name in vars(ours) if not name.startswith("_")}
        assert names - set(vars(theirs)) <= {"outbox"}, "which is an attribute of its own"
