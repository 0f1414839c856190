"""A firm whose clients can be paid: instructions that two people set, and lines of its bank."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from accounts.approvals import apply_approved, decide
from accounts.audit import Actor, acting
from accounts.models import Approval, Bucket, Client, LegalEntity, PaymentInstruction, Role
from accounts.payees import Payee, request_instruction, request_rule
from ledger.models import (
    Asset,
    Balance,
    Entry,
    Location,
    Payment,
    PaymentEvent,
    PaymentInFile,
    Posting,
    ReleaseUse,
    Statement,
    StatementLine,
)
from ledger.payment_files import write_files
from ledger.reconciliation import keep_file
from margin.payments.withdrawals import Withdrawal, request_withdrawal
from tests.accounts.people import Desk, found_desk, person
from tests.stage import booked_days, staged

JOB = Actor.job("test")
PAYEE = Payee(name="Ada Example", iban="DE89370400440532013000", bic="COBADEFFXXX")
DAY = date(2031, 3, 5)
AT = datetime(2031, 3, 5, 12, tzinfo=UTC)
WHY = "The client asked in writing."


@dataclass(frozen=True)
class PayingFirm:
    """The firm, its people, the bank of its clients and a free bucket with money in it."""

    entity: LegalEntity
    desk: Desk
    bank: Location
    bucket: Bucket
    usd: Asset
    days: tuple[Path, ...]

    def actor(self, role: Role) -> Actor:
        return person(self.desk[role])

    def agree(self, approval: UUID, role: Role = Role.TREASURY) -> None:
        """A second person approves and applies."""
        actor = self.actor(role)
        decided = decide(approval, verdict="approved", reason="Looked at it well.", actor=actor)
        apply_approved(decided, actor=actor)

    def instruction(
        self, client: Client | None = None, *, code: str = "main", payee: Payee = PAYEE
    ) -> PaymentInstruction:
        """An instruction of the bucket's client, agreed to by two."""
        whose = client or self.bucket.account.client
        assert whose is not None, "a client's bucket"
        asked = request_instruction(
            client=whose, code=code, asset_code="USD", method="bank", payee=payee, reason=WHY,
            actor=self.actor(Role.OPERATIONS),
        )  # fmt: skip
        self.agree(asked)
        return PaymentInstruction.objects.newest().get(client=whose, code=code)

    def withdrawal(
        self, amount: str, *, key: str | None = None, instruction: PaymentInstruction | None = None
    ) -> Withdrawal:
        """A withdrawal as somebody asks for it."""
        chosen = instruction or PaymentInstruction.objects.newest().get(
            client=self.bucket.account.client, code="main"
        )
        return Withdrawal(
            key=key or str(uuid4()), bucket=self.bucket, asset=self.usd, amount=Decimal(amount),
            location=self.bank, instruction=chosen, pay_on=DAY,
        )  # fmt: skip

    def asked(self, amount: str, *, key: str | None = None) -> Payment:
        """A withdrawal that operations asked for."""
        return request_withdrawal(
            self.withdrawal(amount, key=key), reason=WHY, actor=self.actor(Role.OPERATIONS)
        )

    def approved(self, amount: str) -> Payment:
        """A withdrawal that treasury agreed to."""
        payment = self.asked(amount)
        assert payment.approval_id is not None, payment.note
        self.agree(payment.approval_id)
        return again(payment)

    def in_file(self, *amounts: str, format: str = "pain.001") -> list[Payment]:  # noqa: A002
        """Payments that one file carries."""
        payments = [self.approved(amount) for amount in amounts]
        write_files(
            legal_entity_id=self.entity.pk, until=DAY, format=format,
            actor=self.actor(Role.TREASURY), reason="Files of the day",
        )  # fmt: skip
        return [again(payment) for payment in payments]

    def lines(
        self, *lines: tuple[str | None, str, str], day: date = DAY, content: bytes = b""
    ) -> list[StatementLine]:
        """A statement of the bank with these lines: reference, amount, text."""
        with acting(JOB, reason="A statement for a test"):
            statement = Statement.objects.create(
                location=self.bank, business_day=day, format="camt053" if content else "mt940",
                file=keep_file(name="bank", content=content or str(uuid4()).encode()),
                parser_version="1", lines_read=len(lines),
            )  # fmt: skip
            return [
                StatementLine.objects.create(
                    statement=statement, ordinal=number, reference=reference,
                    amount=Decimal(amount), amount_as_read=amount, value_date=day, text=text,
                )
                for number, (reference, amount, text) in enumerate(lines, start=1)
            ]  # fmt: skip

    def claim(self, bucket: Bucket | None = None) -> Decimal:
        """What a bucket is owed in dollars."""
        found = Balance.objects.filter(
            account__account_class="claim", account__bucket=bucket or self.bucket,
            account__asset=self.usd,
        ).first()  # fmt: skip
        return Decimal(0) if found is None else -found.amount

    def held(self) -> Decimal:
        """What lies in the account's withdrawal hold."""
        hold = Bucket.objects.filter(account=self.bucket.account, role="HOLD").first()
        return Decimal(0) if hold is None else self.claim(hold)

    def at_bank(self) -> Decimal:
        """What our book says the bank holds."""
        return Balance.objects.get(
            account__account_class="custody", account__location=self.bank, account__asset=self.usd
        ).amount


def again(payment: Payment) -> Payment:
    """The payment as it is now."""
    return Payment.objects.named().get(pk=payment.pk)


def moved() -> Mapping[str, int]:
    """How many rows say that something moved."""
    tables = Entry, Posting, ReleaseUse, PaymentEvent, PaymentInFile
    return {table.__name__: table._default_manager.count() for table in tables}


def paying_firm(folder: Path, *, waits: int = 0) -> PayingFirm:
    """Two days of an invented firm in the book, a third in its folder, people, an instruction."""
    days = booked_days(folder, accounts=90, seed=3, days=3, booked=2)

    def book() -> PayingFirm:
        entity = LegalEntity.objects.get()
        balance = (
            Balance.objects.filter(
                account__account_class="claim", account__asset__code="USD", amount__lt=-5000,
                account__owner_class="CLIENT", account__margin_account__mode="cash",
                account__client__is_individually_segregated=False,
            )
            .order_by("account_id")
            .first()
        )  # fmt: skip
        assert balance is not None, "the firm has a cash account with money"
        assert balance.account.bucket_id is not None
        bucket = Bucket.objects.select_related("account__client__person_key").get(
            pk=balance.account.bucket_id
        )
        firm = PayingFirm(
            entity, found_desk(entity=entity),
            Location.objects.filter(
                kind="bank", pool__owner_class="CLIENT", individual_client__isnull=True
            ).order_by("code")[0],
            bucket, Asset.objects.get(code="USD"), tuple(days),
        )  # fmt: skip
        if waits == 0:
            asked = request_rule(
                hours=0, effective_from=date(2026, 1, 1), legal_entity=entity, reason=WHY,
                actor=firm.actor(Role.OPERATIONS),
            )  # fmt: skip
            firm.agree(asked, Role.RISK)
        firm.instruction()
        return firm

    return staged(f"a firm that pays after {waits} hours", book)


def approval_of(payment: Payment) -> Approval:
    """The request that a second person decides."""
    assert payment.approval_id is not None
    return Approval.objects.get(pk=payment.approval_id)
