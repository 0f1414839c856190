"""Proving again who one is, for programs; and what this session has proved."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts import sessions
from accounts.asking_api import http_of
from accounts.operators import SignInRefusedError


class ProofSerializer(serializers.Serializer[Any]):
    """A password, or a code of one's generator."""

    proof = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class ProofAnswerSerializer(serializers.Serializer[Any]):
    """What the session has proved, and for how long it is good."""

    proved_at = serializers.DateTimeField()
    good_for_minutes = serializers.IntegerField()
    wanted = serializers.CharField()


class ProofViewSet(viewsets.GenericViewSet[Any]):
    """The proof of this session."""

    permission_classes = [IsAuthenticated]
    serializer_class = ProofSerializer
    pagination_class = None

    @extend_schema(responses=ProofAnswerSerializer)
    def list(self, request: Request) -> Response:
        """When somebody proved last who they are."""
        return Response(said_of(request))

    @extend_schema(responses={200: ProofAnswerSerializer})
    def create(self, request: Request) -> Response:
        """Prove it again. The session goes on under another key, which the answer's cookie has."""
        said = ProofSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        try:
            sessions.prove(http_of(request), said=said.validated_data["proof"])
        except SignInRefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_403_FORBIDDEN)
        return Response(said_of(request))


def said_of(request: Request) -> dict[str, Any]:
    http = http_of(request)
    answer = {
        "proved_at": http.proved_at,
        "good_for_minutes": http.proof_minutes,
        "wanted": sessions.proof_wanted(http.operator),
    }
    return dict(ProofAnswerSerializer(answer).data)


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("proof", ProofViewSet, basename="proof")
