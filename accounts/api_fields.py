"""Fields of the API that every app uses."""

from decimal import Decimal

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@extend_schema_field(OpenApiTypes.STR)
class ExactText(serializers.Field[Decimal, Decimal, str, Decimal]):
    """An exact number as text, digit for digit; read-only."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(read_only=True, **kwargs)  # type: ignore[arg-type]

    def to_representation(self, value: Decimal) -> str:
        return format(value, "f")
