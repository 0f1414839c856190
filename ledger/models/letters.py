"""Whose assets a place acknowledges to hold: letters, and what makes them void."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, TransactionIdField
from ledger.models.pools import Location


class LetterDocument(models.Model):
    """A letter as it came, byte for byte; append-only. It counts once it is filed."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=60)
    content = models.BinaryField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class Letter(models.Model):
    """A keeper's acknowledgement that what a location holds is the clients'; append-only.

    A declared one stands for the letters of a firm whose book is opened: somebody said that they
    exist, and none is on file. It counts until a letter is filed, and every list says so.
    """

    location = models.ForeignKey(Location, models.PROTECT, related_name="letters")
    reference = models.CharField(max_length=200)
    signed_on = models.DateField(null=True)
    expires_on = models.DateField(null=True)
    document = models.ForeignKey(LetterDocument, models.PROTECT, null=True, related_name="+")
    is_declared = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="letter_has_a_document_and_a_date",
                condition=Q(is_declared=True, document__isnull=True)
                | Q(is_declared=False, document__isnull=False, signed_on__isnull=False),
            ),
            models.CheckConstraint(
                name="letter_expires_after_it_is_signed",
                condition=Q(expires_on__isnull=True)
                | Q(signed_on__isnull=True)
                | Q(expires_on__gte=models.F("signed_on")),
            ),
        ]


class LocationChange(models.Model):
    """A day on which a location's name, address or account number changed; append-only."""

    location = models.ForeignKey(Location, models.PROTECT, related_name="changes")
    changed_on = models.DateField()
    fields = models.CharField(max_length=200)
    xid = TransactionIdField(db_default=CurrentTransaction())


class LocationUse(models.Model):
    """From when to when value may come to a location, as its letters and its closing say.

    Derived, so that the guard of entries reads one row: the stretch of days around its newest
    letter. Days outside it are looked up in the letters themselves.
    """

    location = models.OneToOneField(Location, models.PROTECT, primary_key=True, related_name="use")
    usable_from = models.DateField()
    usable_until = models.DateField()
    closed_from = models.DateField()
