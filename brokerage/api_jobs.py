"""Jobs for programs: what they are, how far they are, what became of them."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.routers import BaseRouter

from accounts.roles import permission
from brokerage.models import Job
from brokerage.screens.jobs import title_of


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job as its page shows it."""

    title = serializers.SerializerMethodField()
    asked_by = serializers.CharField(source="asked_by.username", read_only=True, default=None)

    class Meta:
        model = Job
        fields = [
            "id", "name", "title", "key", "arguments", "state", "asked_by", "created_at",
            "started_at", "ended_at", "attempt", "step", "done", "total", "left_for",
            "heartbeat_at", "cancel_requested_at", "outcome", "error",
        ]  # fmt: skip
        read_only_fields = fields

    def get_title(self, job: Job) -> str:
        """What people call this job."""
        return title_of(job)


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("state", enum=Job.State.values, description="Jobs in this state."),
            OpenApiParameter("name", description="Jobs of this kind."),
        ]
    )
)
class JobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]):
    """Read jobs, the newest first."""

    serializer_class = JobSerializer
    permission_classes = [permission("read")]
    queryset = Job.objects.select_related("asked_by").order_by("-created_at", "-pk")

    def get_queryset(self) -> "QuerySet[Job]":
        """The jobs of the state and kind asked for, if any."""
        asked = {
            field: self.request.query_params[field]
            for field in ("state", "name")
            if field in self.request.query_params
        }
        return super().get_queryset().filter(**asked)


def register(router: BaseRouter) -> None:
    """Add what is here to the API's addresses."""
    router.register("jobs", JobViewSet, basename="job")
