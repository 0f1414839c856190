"""The register of models: parameter sets, what each model is used for, and how two people decide.

Models of portfolios are code (`margin.engine.models`); the register says which of them, with
which parameters and from which day, agreements may name, and which are only watched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.clock import shown_day
from accounts.models import Approval, LegalEntity
from ledger.models import Asset
from margin.engine.model import Model
from margin.engine.models import MODELS
from margin.engine.parameters import (
    parameter_fields,
    parameters_sha256,
    read_parameters,
    written_parameters,
)
from margin.engine.policies import POLICIES
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.known import known_at
from margin.models import ModelDecision, ParameterSet
from margin.parameters import next_version

PARAMETERS, DECIDE = "model.parameters", "model.decide"


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model with the parameters in force on a day.

    Attributes:
        parameters: of the type that the model declares.
    """

    model: Model[Any]
    parameter_set: ParameterSet
    parameters: object
    standing: str

    @property
    def looks_back(self) -> bool:
        """Whether it asks for returns of past days."""
        return self.model.looks_back(self.parameters)


Key = tuple[str, str]


def models_in_use(
    day: date, *, standing: str, horizon_id: int | None = None
) -> dict[Key, UsedModel]:
    """The models with such a standing on a day, by name and code of parameters; two queries.

    A model whose stored parameters can no longer be read is not in use; `models_decided` says why.

    Args:
        horizon_id: as that committed horizon knew it; as it is known now if None.
    """
    return models_decided(day, standing=standing, horizon_id=horizon_id)[0]


def models_decided(
    day: date, *, standing: str, horizon_id: int | None = None
) -> tuple[dict[Key, UsedModel], dict[Key, str]]:
    """The models with such a standing that can be used, and why others cannot; two queries.

    Parameters are stored as values. After a change of a model's parameters in the program, older
    values may not fit any more: nothing is computed with them, and nobody else is kept from it.
    """
    known = known_at(ParameterSet.objects.filter(effective_from__lte=day), horizon_id)
    sets = {
        (each.model, each.code): each
        for each in known.order_by("model", "code", "-effective_from").distinct("model", "code")
    }
    used: dict[Key, UsedModel] = {}
    unreadable: dict[Key, str] = {}
    for decision in decisions_in_force(day, horizon_id=horizon_id):
        key = decision.model, decision.code
        model = MODELS.get(decision.model)
        if decision.standing != standing or model is None or key not in sets:
            continue
        try:
            parameters = read_parameters(model.parameters, sets[key].values)
        except RejectedInputError as refused:
            unreadable[key] = f"{sets[key]} can no longer be read: {refused}."
        else:
            used[key] = UsedModel(model, sets[key], parameters, decision.standing)
    return used, unreadable


def parameters_in_force(model: str, code: str, *, day: date) -> UsedModel | None:
    """A model with the parameters in force on a day, whatever it is used for; None without any.

    Its standing is empty where nobody has decided on it.

    Raises:
        RejectedInputError: the parameters cannot be read.
    """
    sets = ParameterSet.objects.filter(model=model, code=code, effective_from__lte=day)
    found, known = sets.order_by("-effective_from").first(), MODELS.get(model)
    if found is None or known is None:
        return None
    decided = (
        ModelDecision.objects.filter(model=model, code=code, effective_from__lte=day)
        .order_by("-effective_from")
        .first()
    )
    parameters = read_parameters(known.parameters, found.values)
    return UsedModel(known, found, parameters, "" if decided is None else decided.standing)


def decisions_in_force(day: date, *, horizon_id: int | None = None) -> Sequence[ModelDecision]:
    """The newest decision of every model and code on a day, as a horizon knew it."""
    return list(
        known_at(ModelDecision.objects.filter(effective_from__lte=day), horizon_id)
        .order_by("model", "code", "-effective_from")
        .distinct("model", "code")
    )


def unknown_codes(model: str, code: str, *, day: date) -> list[str]:
    """What is wrong with a model and code that an agreement names; nothing if both are in use."""
    if model not in MODELS:
        return [f"Margin has no model {model}."]
    used, unreadable = models_decided(day, standing=ModelDecision.Standing.PRODUCTION)
    if (model, code) in unreadable:
        return [unreadable[model, code]]
    if (model, code) not in used:
        return [f"Model {model} with parameters {code} is not in production on that day."]
    return []


# ---------------------------------------------------------------- parameters, by two people


def request_parameters(
    *,
    model: str,
    code: str,
    values: Mapping[str, Any],
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a model have such parameters under a code from a day on.

    Args:
        model: its name, or that of a policy for instruments.
        code: under which agreements name them; of a policy the instrument's.
        values: all of them, as JSON.
        effective_from: their first day.
        legal_entity: where it is asked and decided; parameters hold for all.
        reason: why.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: there is no such model, or a value is not what it may be.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    kind, _ = declared_kind(model)
    if model in POLICIES and not Asset.objects.filter(code=code).exclude(kind="money").exists():
        raise AskRefusedError("code", f"There is no instrument {code}.")
    parameters = _parameters(kind, values)
    row = {
        "model": model,
        "code": code,
        "version": next_version(ParameterSet.objects.filter(model=model, code=code)),
        "effective_from": effective_from.isoformat(),
        "values": written_parameters(parameters),
        "sha256": parameters_sha256(parameters),
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=PARAMETERS,
            subject=f"{model} {code}: parameters, version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=(f"margin_model:{model}/{code}",),
        )


def request_decision(
    *,
    model: str,
    code: str,
    standing: str,
    owner: str,
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a model with such parameters be watched, used or retired from a day on.

    Raises:
        AskRefusedError: there is no such model, standing or set of parameters.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    known = _model(model)
    if standing not in ModelDecision.Standing.values:
        raise AskRefusedError("standing", f"A model is not {standing}.")
    sets = ParameterSet.objects.filter(model=model, code=code, effective_from__lte=effective_from)
    if standing != ModelDecision.Standing.RETIRED and not sets.exists():
        raise AskRefusedError("code", f"{model} has no parameters {code} by that day.")
    row = {
        "model": model,
        "model_version": known.version,
        "code": code,
        "standing": standing,
        "effective_from": effective_from.isoformat(),
        "model_sha256": model_sha256(known),
        "owner": owner,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=DECIDE,
            subject=f"{model} {code}: {standing}",
            payload={"row": row},
            reason=reason,
            records=(f"margin_model:{model}/{code}",),
        )


def _model(name: str) -> Model[Any]:
    if name not in MODELS:
        raise AskRefusedError("model", f"Margin has no model {name}.")
    return MODELS[name]


def declared_kind(name: str) -> tuple[type[Any], str]:
    """The type of the parameters under a name, and what people call what has them.

    Raises:
        AskRefusedError: nothing has such a name.
    """
    policy = POLICIES.get(name)
    if policy is not None:
        return policy.parameters, policy.title
    model = _model(name)
    return model.parameters, model.title


def _parameters(kind: type[Any], values: Mapping[str, Any]) -> object:
    try:
        return read_parameters(kind, values)
    except RejectedInputError as refused:
        raise AskRefusedError("values", f"{refused}.") from refused


# ---------------------------------------------------------------- how requests are shown


def describe_parameters(approval: Approval) -> Description:
    """Every value that changes, before and after."""
    row = approval.payload["row"]
    kind, title = declared_kind(row["model"])
    day = date.fromisoformat(row["effective_from"])
    before = _values(
        ParameterSet.objects.filter(model=row["model"], code=row["code"], effective_from__lte=day)
        .order_by("-effective_from")
        .first(),
        kind,
    )
    after = _shown_values(kind, row["values"])
    changed = [path for path in after if before.get(path) != after[path]]
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")), ("Model", title)),
        fields=tuple(FieldChange(path, before.get(path, "none"), after[path]) for path in changed),
        note="From that day every scope under them is computed with them.",
    )


def _values(found: ParameterSet | None, kind: type[Any]) -> dict[str, str]:
    return {} if found is None else _shown_values(kind, found.values)


def _shown_values(kind: type[Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Values by path; as they were stored where the model's parameters are others by now."""
    try:
        parameters = read_parameters(kind, values)
    except RejectedInputError:
        return {name: str(value) for name, value in values.items()}
    return {each.path: str(each.value) for each in parameter_fields(parameters)}


def describe_decision(approval: Approval) -> Description:
    """What the model was used for, and what it would be."""
    row = approval.payload["row"]
    day = date.fromisoformat(row["effective_from"])
    before = next(
        (
            each.get_standing_display()
            for each in decisions_in_force(day)
            if (each.model, each.code) == (row["model"], row["code"])
        ),
        "none",
    )
    return Description(
        headline=approval.subject,
        facts=(
            ("From", shown_day(day, form="medium")),
            ("Owner", row["owner"]),
            ("Code of the model", row["model_sha256"][:12]),
        ),
        fields=(FieldChange("Used as", before, ModelDecision.Standing(row["standing"]).label),),
    )


def add_parameters(approval: Approval) -> None:
    """Add the set; call inside an act."""
    spend("SELECT margin.add_parameter_set(%s)", approval)


def decide(approval: Approval) -> None:
    """Let the decision stand; call inside an act."""
    spend("SELECT margin.decide_model(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(PARAMETERS, describe=describe_parameters, apply=add_parameters)
    register_action(DECIDE, describe=describe_decision, apply=decide)
