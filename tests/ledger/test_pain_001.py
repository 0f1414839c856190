"""pain.001: every file passes ISO's own schema, or is refused by payment and field."""

from datetime import UTC, date, datetime
from decimal import Decimal
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.payees import Payee
from ledger.currencies import digits_of
from ledger.pain import NAMESPACE, CannotOrderError, Order, Transfer, check_file, pain_001
from ledger.schemas import faults

IBAN = "DE89370400440532013000"
NS = {"": NAMESPACE}
# Letters of every alphabet, what payment systems carry beside them, and what none carries.
WRITABLE = st.text(
    st.characters(categories=("L", "N", "M"), include_characters=" /-?:().,'+&"), max_size=140
).filter(lambda text: bool(text.strip()))
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CHF", "TND", "KRW"])


def order(*transfers: Transfer, debtor: str = "The Firm", account: str = IBAN) -> Order:
    return Order(
        message_id="MABCDEFGHIJKLMNO", created_at=datetime(2031, 3, 5, 12, tzinfo=UTC),
        pay_on=date(2031, 3, 6), debtor=debtor, debtor_account=account, transfers=transfers,
    )  # fmt: skip


def transfer(
    number: int = 1, *, name: str = "Ada Example", amount: str = "1.00", currency: str = "USD",
    iban: str = IBAN, bic: str = "", account: str = "",
) -> Transfer:  # fmt: skip
    payee = Payee(name=name, iban=iban, bic=bic, account=account)
    return Transfer(f"P{number:015d}", payee, Decimal(amount), currency)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(WRITABLE, st.integers(1, 10**12)), min_size=1, max_size=12),
    CURRENCIES, st.booleans(),
)  # fmt: skip
def test_any_order_that_can_be_said_passes_and_says_exactly_itself(
    asked: list[tuple[str, int]], currency: str, by_iban: bool
) -> None:
    digits = digits_of(currency) or 0
    amounts = [Decimal(units).scaleb(-digits) for _, units in asked]
    where = {"iban": IBAN} if by_iban else {"iban": "", "account": "00-12/34", "bic": "COBADEFF"}
    content = pain_001(
        order(*(
            transfer(n, name=name, amount=format(amount, "f"), currency=currency, **where)
            for n, ((name, _), amount) in enumerate(zip(asked, amounts, strict=True))
        ))
    )  # fmt: skip
    assert faults(content, message="pain.001.001.09") == []
    message = fromstring(content)[0]
    said = [each.text or "" for each in message.iterfind(".//InstdAmt", NS)]
    assert [Decimal(each) for each in said] == amounts
    assert {len(each.partition(".")[2]) for each in said} == {digits}
    for part in ("GrpHdr", "PmtInf"):
        assert Decimal(message.findtext(f"{part}/CtrlSum", "", NS)) == sum(amounts)
        assert message.findtext(f"{part}/NbOfTxs", "", NS) == str(len(asked))
    names = [each.text for each in message.iterfind(".//Cdtr/Nm", NS)]
    assert names == [name for name, _ in asked]


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(), max_size=160), st.integers(0, 3))
def test_whatever_a_name_holds_the_file_passes_or_is_refused_by_payment_and_field(
    name: str, before: int
) -> None:
    asked = order(*(transfer(n) for n in range(before)), transfer(before, name=name))
    try:
        content = pain_001(asked)
    except CannotOrderError as wrong:
        said = str(wrong)
    else:
        assert faults(content, message="pain.001.001.09") == []
        return
    assert f"ayment P{before:015d}, Cdtr" in said
    # A person's name does not get into messages.
    assert len(name) < 8 or name not in said


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "x" * 141}, "Cdtr/Nm"),
        ({"name": "a\x00b"}, "Cdtr/Nm"),
        ({"name": "a\u202eb"}, "Cdtr/Nm"),
        ({"name": "\ud800"}, "Cdtr/Nm"),
        ({"name": " "}, "Cdtr/Nm"),
        ({"iban": "DE89370400440532013001"}, "CdtrAcct/Id/IBAN"),
        ({"bic": "NOBIC"}, "CdtrAgt/FinInstnId/BICFI"),
        ({"iban": "", "account": "9" * 35, "bic": "COBADEFF"}, "CdtrAcct/Id/Othr/Id"),
        ({"amount": "1.001"}, "Amt/InstdAmt"),
        ({"amount": "1.50", "currency": "JPY"}, "Amt/InstdAmt"),
        ({"amount": "1" + "0" * 18}, "Amt/InstdAmt"),
        ({"amount": "0"}, "Amt/InstdAmt"),
        ({"currency": "BTC"}, "Amt/InstdAmt"),
    ],
)
def test_what_does_not_pass_names_its_payment_and_field(wrong: dict[str, str], field: str) -> None:
    with pytest.raises(CannotOrderError) as refused:
        pain_001(order(transfer(1), transfer(2, **wrong)))  # type: ignore[arg-type]
    assert f"ayment P{2:015d}, {field}" in str(refused.value)


def test_a_file_that_somebody_changed_does_not_pass() -> None:
    content = pain_001(order(transfer(1), transfer(2)))
    check_file(content)
    for was, then in (
        (b"<NbOfTxs>2<", b"<NbOfTxs>3<"),
        (b"<CtrlSum>2.00<", b"<CtrlSum>2.01<"),
        (b"<PmtMtd>TRF</PmtMtd>", b""),
        (b"<ChrgBr>SHAR<", b"<ChrgBr>MINE<"),
        (b"<?xml", b"<?xml <"),
    ):
        assert was in content
        with pytest.raises(CannotOrderError):
            check_file(content.replace(was, then))


def test_a_thousand_payments_pass() -> None:
    content = pain_001(order(*(transfer(n, amount="0.01") for n in range(1000))))
    assert content.count(b"<CtrlSum>10.00</CtrlSum>") == 2
    with pytest.raises(CannotOrderError) as refused:
        pain_001(order(*(transfer(n) for n in range(1000)), transfer(999)))
    assert "PmtId/EndToEndId" in str(refused.value)
