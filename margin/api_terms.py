"""Agreements and parameters for programs, and asking for new ones."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.agreements import VERSION, request_version
from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.models import Agreement, AgreementVersion
from accounts.roles import permission
from ledger.models import Asset
from margin.calls.terms import SET_TERMS, request_call_terms
from margin.parameters import HAIRCUT, request_haircut
from margin.screens.call_terms import CallTermsForm
from margin.screens.haircuts import HaircutForm
from margin.screens.terms import VersionForm


class AgreementSerializer(serializers.Serializer[Any]):
    """A version of an agreement; levels are texts."""

    agreement = serializers.CharField(source="agreement.code")
    version = serializers.IntegerField()
    effective_from = serializers.DateField()
    model = serializers.CharField()
    parameters = serializers.CharField()
    call_level = serializers.CharField()
    liquidation_level = serializers.CharField()
    currency = serializers.CharField()
    eligible_collateral = serializers.ListField(child=serializers.CharField())


class AgreementViewSet(viewsets.GenericViewSet[Any]):
    """Versions of agreements, and asking for a new one or for a haircut."""

    permission_classes = [permission("read")]
    serializer_class = AgreementSerializer

    @extend_schema(responses=AgreementSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every version at the legal entity one works at."""
        found = (
            AgreementVersion.objects.filter(agreement__legal_entity=entity_of(request))
            .select_related("agreement")
            .order_by("agreement__code", "version")
        )
        return Response(AgreementSerializer(found, many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask for a new version; the fields are those of the screen."""
        http, entity = http_of(request), entity_of(request)
        form = VersionForm(sent(request))
        return ask_by_api(
            request, form, action=VERSION, entity=entity, do=lambda typed: request_version(
                legal_entity=entity, code=typed["code"].strip(), terms=form.terms(),
                reason=typed["reason"], actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=False, methods=["post"], url_path=r"calls/(?P<code>[^/]{1,40})")
    def calls(self, request: Request, code: str) -> Response:
        """Ask for other terms of the calls of an agreement; the fields are those of the screen."""
        http, entity = http_of(request), entity_of(request)
        found = Agreement.objects.filter(legal_entity=entity, code=code).first()
        if found is None:
            return Response({"detail": "There is no such agreement."}, status=404)
        form = CallTermsForm(sent(request))
        return ask_by_api(
            request, form, action=SET_TERMS, entity=entity, do=lambda typed: request_call_terms(
                legal_entity=entity, agreement=found, effective_from=typed["effective_from"],
                values=form.values(), reason=typed["reason"], actor=http.actor,
                request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=False, methods=["post"], url_path=r"haircut/(?P<asset>[^/]{1,40})")
    def haircut(self, request: Request, asset: str) -> Response:
        """Ask for another haircut of an asset: `haircut`, `effective_from`, `reason`; with tiers
        `tiers`, `concentration`, `peg` and `volatility`, a line each as on the screen."""
        http, entity = http_of(request), entity_of(request)
        found = Asset.objects.filter(code=asset).first()
        if found is None:
            return Response({"detail": "There is no such asset."}, status=404)
        return ask_by_api(
            request, HaircutForm(sent(request)), action=HAIRCUT, entity=entity,
            do=lambda typed: request_haircut(
                asset=found, haircut=typed["haircut"], effective_from=typed["effective_from"],
                legal_entity=entity, reason=typed["reason"], actor=http.actor,
                request_id=http.request_id, schedule=typed["schedule"],
            ),
        )  # fmt: skip


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("agreements", AgreementViewSet, basename="agreement")
