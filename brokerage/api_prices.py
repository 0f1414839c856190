"""Price files inside a day for programs: handed in by the function the command uses."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.audit import RefusedError
from accounts.roles import check, permission
from brokerage.inbox.price_files import KEY_LENGTH_MAX, NAME_LENGTH_MAX, PriceFileRefusedError
from brokerage.inbox.price_watch import hand_in
from brokerage.inbox.refusal import FolderRefusedError
from margin.models import PriceFile
from margin.screens.visible import entity_here

TAKE = "price.take"


class PriceFileSerializer(serializers.ModelSerializer[PriceFile]):
    """A price file that was taken."""

    class Meta:
        model = PriceFile
        fields = ["sha256", "key", "name", "as_of", "business_day", "row_count", "received_at"]
        read_only_fields = fields


class HandedInSerializer(serializers.Serializer[Any]):
    """A file as multipart, or its text; the same content is taken once, a key means one content."""

    key = serializers.CharField(max_length=KEY_LENGTH_MAX, required=False, default="")
    name = serializers.CharField(max_length=NAME_LENGTH_MAX, required=False, default="prices.csv")
    as_of = serializers.DateTimeField(required=False, default=None)
    content = serializers.CharField(required=False, default="", trim_whitespace=False)
    file = serializers.FileField(required=False, default=None, allow_empty_file=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two, within the limit of files."""
        file: UploadedFile[bytes] | None = attrs["file"]
        if (file is None) == (not attrs["content"]):
            raise serializers.ValidationError("Send either `file` or `content`.")
        size = len(attrs["content"].encode()) if file is None else file.size or 0
        if size > settings.INBOX_FILE_SIZE_MAX:
            raise serializers.ValidationError(
                f"The file is larger than {settings.INBOX_FILE_SIZE_MAX:,} bytes."
            )
        return attrs


class PriceFileViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PriceFile]
):
    """Price files inside days, newest first."""

    queryset = PriceFile.objects.all()
    serializer_class = PriceFileSerializer
    permission_classes = [permission("read")]
    lookup_field = "sha256"
    lookup_value_regex = r"[0-9a-f]{64}"

    def get_queryset(self) -> "QuerySet[PriceFile]":
        """All of them: prices are nobody's own."""
        return PriceFile.objects.defer("content").order_by("-as_of")

    @extend_schema(request=HandedInSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Take prices; 201 with the job that margins what they touch, 200 where known, 409."""
        http: Any = request._request
        entity = entity_here(http)
        check(http, TAKE, entity)
        if http.roles.desks(TAKE, entity.pk) is not None:
            raise PermissionDenied("Prices are handed in by roles for all clients, not for a desk.")
        said = HandedInSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        typed = said.validated_data
        file: UploadedFile[bytes] | None = typed["file"]
        try:
            taken, job = hand_in(
                typed["content"].encode() if file is None else file.read(),
                name=typed["name"],
                actor=http.actor,
                as_of=typed["as_of"],
                key=typed["key"],
                request_id=http.request_id,
                asked_by=http.operator,
            )
        except FolderRefusedError as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_400_BAD_REQUEST)
        except (PriceFileRefusedError, RefusedError) as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_409_CONFLICT)
        return Response(
            taken.as_json() | {"job": job.pk},
            status=status.HTTP_201_CREATED if taken.is_new else status.HTTP_200_OK,
        )


def register(router: BaseRouter) -> None:
    """Add what is here to the API's addresses."""
    router.register("price-files", PriceFileViewSet, basename="price-file")
