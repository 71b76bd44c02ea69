"""An adopter's own circumstances, as the rules of a licence ask for them. What is not stated stays unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from weighbridge.terms.fact import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Who uses a model, and for what. None means "not stated", which no rule takes for a no.

    Attributes:
        purpose: in words, for the report.
        commercial: whether the use is commercial.
        fields: the fields of `terms.fact.FIELDS` that the use touches; an empty tuple says that it touches none.
        amounts: for each metric the highest value up to now, of the company with its affiliates.
        amounts_in: for a metric, values of single months (first day of the month), for thresholds that fix one.
        seat: where the company has its principal place of business, ISO 3166-1 alpha-2.
        territories: where the model, or a service on it, will be used or handed out, ISO 3166-1 alpha-2.
        fine_tunes, distils, hosts, redistributes: what will be done with it; `distils` means training another model
            on its outputs.
        end_user_only: whether it is only reached through somebody else's product or service. Who also fine-tunes,
            hosts or redistributes it is a licensee all the same.
    """

    purpose: str = ""
    commercial: bool | None = None
    fields: tuple[str, ...] | None = None
    amounts: Mapping[Metric, int] = field(default_factory=dict)
    amounts_in: Mapping[Metric, Mapping[date, int]] = field(default_factory=dict)
    seat: str | None = None
    territories: tuple[str, ...] | None = None
    fine_tunes: bool | None = None
    distils: bool | None = None
    hosts: bool | None = None
    redistributes: bool | None = None
    end_user_only: bool = False
