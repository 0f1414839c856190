"""Deliveries of notices, their texts and where they go, for programs: the acts of the screens."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.audit import RefusedError
from accounts.roles import check, permission, roles_in
from margin.models import Channel, Delivery, DeliveryEvent, NoticeKind
from margin.notices.acts import RIGHT, WORDS_LENGTH_MAX
from margin.notices.contacts import CONTACTS, AskedContacts, contact_of, request_contacts
from margin.notices.contents import bytes_of, is_as_hashed, recipient_of, text_of
from margin.notices.texts import TEMPLATE, request_text, texts_at
from margin.screens.deliveries import ACTS, OF_CALL, account_of
from margin.screens.notices import ContactForm, TextForm, client_or_404, contact_lines
from margin.screens.visible import of_accounts


class DeliveryEventSerializer(serializers.ModelSerializer[DeliveryEvent]):
    """A step of a delivery."""

    class Meta:
        model = DeliveryEvent
        fields = ["number", "step", "from_state", "to_state", "at", "text"]
        read_only_fields = fields


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """A notice on one way, as it stands."""

    call = serializers.CharField(source="call.number")
    account = serializers.CharField(source="call.scope.bucket.account.code")
    language = serializers.CharField(source="template.language")
    template_version = serializers.IntegerField(source="template.version")
    is_standard_text = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = [
            "id", "call", "account", "kind", "channel", "state", "attempts", "next_at", "made_at",
            "sha256", "language", "template_version", "is_standard_text",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_standard_text(self, delivery: Delivery) -> bool:
        """Whether the text came with the product."""
        return delivery.template.legal_entity_id is None


class DeliveryDetailSerializer(DeliverySerializer):
    """A notice with exactly what was sent, to whom, and every step."""

    recipient = serializers.SerializerMethodField()
    content = serializers.SerializerMethodField()
    subject = serializers.SerializerMethodField()
    text = serializers.SerializerMethodField()
    is_as_hashed = serializers.SerializerMethodField()
    events = DeliveryEventSerializer(many=True)

    class Meta(DeliverySerializer.Meta):
        fields = [
            *DeliverySerializer.Meta.fields, "recipient", "content", "subject", "text",
            "is_as_hashed", "events",
        ]  # fmt: skip
        read_only_fields = fields

    def get_recipient(self, delivery: Delivery) -> str:
        """To whom it goes."""
        return recipient_of(delivery)

    def get_content(self, delivery: Delivery) -> str:
        """The exact bytes, as UTF-8."""
        return bytes_of(delivery).decode("utf-8", "replace")

    def get_subject(self, delivery: Delivery) -> str:
        """What its reader saw as the subject."""
        return text_of(delivery.channel, bytes_of(delivery)).subject

    def get_text(self, delivery: Delivery) -> str:
        """What its reader saw."""
        return text_of(delivery.channel, bytes_of(delivery)).body

    def get_is_as_hashed(self, delivery: Delivery) -> bool:
        """Whether the bytes are those of the hash."""
        return is_as_hashed(delivery)


class WordsSerializer(serializers.Serializer[Any]):
    """Why, or how."""

    words = serializers.CharField(max_length=WORDS_LENGTH_MAX, required=False, default="")


class DeliveryViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Delivery]
):
    """Deliveries, newest first; `?call=`, `?state=` and `?channel=` narrow them."""

    queryset = Delivery.objects.all()
    serializer_class = DeliverySerializer
    permission_classes = [permission("read")]
    lookup_value_regex = r"[0-9a-f-]{36}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Deliveries of the accounts this person reads."""
        roles = roles_in(self.request)
        found = Delivery.objects.filter(of_accounts(roles, roles.entities("read"), path=OF_CALL))
        asked = self.request.query_params
        for name, field in (("call", "call__number"), ("state", "state"), ("channel", "channel")):
            if name in asked:
                found = found.filter(**{field: asked[name].replace("\0", "")})
        read = ("call__scope__bucket__account__legal_entity", "template", "person_key")
        return found.select_related(*read).order_by("-made_at", "id")

    @extend_schema(
        parameters=[
            OpenApiParameter(name, OpenApiTypes.STR) for name in ("call", "state", "channel")
        ]
    )
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Deliveries of the filter."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=DeliveryDetailSerializer)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """One delivery with exactly what was sent."""
        return Response(DeliveryDetailSerializer(self.get_object()).data)

    @extend_schema(request=WordsSerializer, responses=DeliverySerializer)
    @action(detail=True, methods=["post"], url_path=r"acts/(?P<act>[a-z-]{1,20})", url_name="act")
    def act(self, request: Request, pk: UUID, act: str) -> Response:
        """Say what became of it: `printed`, `posted`, `not-posted`, `bounced`, `again`."""
        delivery, http = self.get_object(), http_of(request)
        check(request, RIGHT, account_of(delivery).legal_entity)
        if act not in ACTS:
            raise Http404("There is no such act.")
        said = WordsSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        words = said.validated_data["words"].strip()
        if ACTS[act].asks and not words:
            answer = {"words": ["Say it in words."]}
            return Response(answer, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        try:
            after = ACTS[act].do(
                delivery.pk, words=words, actor=http.actor, request_id=http.request_id
            )
        except RefusedError as refused:
            answer_: dict[str, str] = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer_, status=status.HTTP_409_CONFLICT)
        return Response(DeliverySerializer(self.get_queryset().get(pk=after.pk)).data)


class TextSerializer(serializers.Serializer[Any]):
    """A text that holds."""

    kind = serializers.ChoiceField(choices=NoticeKind.choices)
    language = serializers.CharField()
    version = serializers.IntegerField()
    is_standard = serializers.SerializerMethodField()
    subject = serializers.CharField()
    body = serializers.CharField()

    def get_is_standard(self, template: Any) -> bool:  # noqa: ANN401
        """Whether it came with the product."""
        return template.legal_entity_id is None


class TextViewSet(viewsets.GenericViewSet[Any]):
    """Texts of notices at the legal entity one works at."""

    permission_classes = [permission("read")]
    serializer_class = TextSerializer

    @extend_schema(responses=TextSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every text that holds."""
        return Response(TextSerializer(texts_at(entity_of(request)), many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask for another text; the fields are those of the screen."""
        http, entity = http_of(request), entity_of(request)
        return ask_by_api(
            request, TextForm(sent(request)), action=TEMPLATE, entity=entity,
            do=lambda typed: request_text(
                legal_entity=entity, kind=typed["kind"], language=typed["language"],
                subject=typed["subject"], body=typed["body"], reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip


class ContactViewSet(viewsets.GenericViewSet[Any]):
    """Where a client's notices go; the lookup is the client's code."""

    permission_classes = [permission("read")]
    serializer_class = AskedSerializer
    lookup_field = "code"
    lookup_value_regex = r"[^/]{1,40}"

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def retrieve(self, request: Request, code: str) -> Response:
        """The version that holds; no secret is ever among it."""
        client = client_or_404(http_of(request), code)
        held = contact_of(client)
        ways = [] if held is None else contact_lines(held)
        return Response(
            {
                "client": client.code,
                "version": None if held is None else held.version,
                "language": None if held is None else held.language,
                "ways": [
                    {"way": Channel(way).value, "address": address, "kinds": held.channels[way]}
                    for way, (_, address, _) in zip(held.channels, ways, strict=True)
                ]
                if held is not None
                else [],
            }
        )

    @extend_schema(request=None, responses={201: OpenApiTypes.OBJECT})
    def update(self, request: Request, code: str) -> Response:
        """Ask that they go elsewhere; the answer shows a new secret this once."""
        http, entity = http_of(request), entity_of(request)
        client = client_or_404(http, code)
        form, asked = ContactForm(sent(request)), []

        def do(typed: Any) -> UUID:  # noqa: ANN401
            made: AskedContacts = request_contacts(
                client, form.draft(), reason=typed["reason"], actor=http.actor,
                request_id=http.request_id,
            )  # fmt: skip
            asked.append(made)
            return made.approval_id

        answer = ask_by_api(request, form, action=CONTACTS, entity=entity, do=do)
        if asked and asked[0].secret:
            answer.data |= {"key_id": asked[0].key_id, "secret": asked[0].secret}
        answer["Cache-Control"] = "no-store"
        return answer


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("deliveries", DeliveryViewSet, basename="delivery")
    router.register("notice-texts", TextViewSet, basename="notice-text")
    router.register("notice-contacts", ContactViewSet, basename="notice-contact")
