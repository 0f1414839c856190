"""What the person at the page may do, for templates. Load with `{% load rights %}`."""

from django import template
from django.template import Context

from accounts import roles

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: Context, act: str) -> bool:
    """`{% may "call.acknowledge" as can %}`: at the legal entity the person works at."""
    request = context.get("request")
    entity = getattr(request, "legal_entity", None)
    return request is not None and entity is not None and roles.may(request, act, entity)
