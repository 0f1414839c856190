"""A day from files whose statement names payments: confirmed, returned, and nothing left over."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from accounts.models import Role
from brokerage.inbox.cycle import run_day
from brokerage.verify import verify
from ledger.models import Break, PaymentFile, StatementMatch
from ledger.payment_files import record_sent
from ledger.statements.camt import return_reasons
from tests.margin.paying import PayingFirm, again, paying_firm

ENTRY = (
    '<Ntry><NtryRef>{number}</NtryRef><Amt Ccy="USD">{amount}</Amt>'
    "<CdtDbtInd>{side}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
    "<BookgDt><Dt>2031-03-05</Dt></BookgDt><ValDt><Dt>2031-03-05</Dt></ValDt>"
    "<NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs>{more}</TxDtls></NtryDtls>"
    "</Ntry>"
)
CLOSING = re.compile(r'(CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="USD">)([0-9.]+)')
REASON = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def add_lines(day: Path, *lines: tuple[str, str, str, str]) -> Path:
    """Add lines (reference, amount, side, more) to the statement of the clients' bank."""
    path = day / "statements" / "bank-client-usd.camt053.xml"
    text = path.read_text()
    entries = "".join(
        ENTRY.format(number=900 + n, reference=reference, amount=amount, side=side, more=more)
        for n, (reference, amount, side, more) in enumerate(lines)
    )
    change = sum(Decimal(amount) * (1 if side == "CRDT" else -1) for _, amount, side, _ in lines)
    text = CLOSING.sub(lambda found: f"{found[1]}{Decimal(found[2]) + change}", text)
    path.write_text(text.replace("  </Stmt>", f"{entries}  </Stmt>"))
    return path


def test_a_day_confirms_and_returns_payments_and_leaves_no_break(firm: PayingFirm) -> None:
    claim = firm.claim()
    paid, back = firm.in_file("50.00", "100.00")
    assert firm.bank.code == "bank:client-usd"
    record_sent(
        PaymentFile.objects.get(), actor=firm.actor(Role.TREASURY), reason="The bank has it now"
    )
    path = add_lines(
        firm.days[2],
        (paid.end_to_end_id, "50.00", "DBIT", ""), (back.end_to_end_id, "100.00", "DBIT", ""),
        (back.end_to_end_id, "100.00", "CRDT", REASON),
    )  # fmt: skip
    before = firm.claim()
    assert before == claim - 150
    run_day(firm.days[2])
    assert (again(paid).state, again(back).state) == ("confirmed", "returned")
    assert (again(back).return_code, firm.held()) == ("AC04", 0)
    assert list(return_reasons(path.read_bytes()).values()) == ["AC04"]
    ours = {paid.end_to_end_id, back.end_to_end_id}
    assert not Break.objects.filter(reference__in=ours).exists()
    assert StatementMatch.objects.filter(line__reference__in=ours).count() == 3
    done = again(back)
    assert done.return_entry is not None
    assert done.return_entry.kind_id == "deposit"
    assert done.return_entry.postings.get(account__bucket=firm.bucket).amount == -100
    assert verify().is_sound
