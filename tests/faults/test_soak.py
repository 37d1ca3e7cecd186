"""The soak in its short form; ``make faults`` runs the long one."""

from __future__ import annotations

import pytest

from tests.faults.soak import Soak

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_books_balance_whatever_is_killed(crew, server, uploads):
    ledger = Soak(crew, server, uploads, every=2.0, seed=3).run(250, kills=3)
    print(ledger.text())
    assert ledger.balanced, ledger.text()
    assert ledger.kills.total() >= 3
    assert ledger.account.quarantined == 0
