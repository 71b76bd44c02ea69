"""Countries by ISO 3166-1 alpha-2 code, and the territory of the European Union."""

_EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"

EU_MEMBERS = frozenset(_EU.split())
"""The 27 members since 1 February 2020 (https://european-union.europa.eu/principles-countries-history/eu-countries_en,
as of November 2026)."""

_OUTERMOST = "AX GF GP MF MQ RE YT"

EU_CODES = EU_MEMBERS | frozenset(_OUTERMOST.split())
"""The members, and parts of them with a code of their own in which the Treaties apply: Guadeloupe, French Guiana,
Martinique, Réunion, Mayotte and Saint-Martin (Articles 349 and 355(1) TFEU, https://eur-lex.europa.eu/eli/treaty/tfeu_2016;
Mayotte since Decision 2012/419/EU) and the Åland Islands (Article 355(4)). The Azores, Madeira and the Canary Islands
go under the codes of Portugal and Spain."""

_SPELT = {"UK": "GB", "EL": "GR"}
"""Codes that people and the Union itself write instead of ISO's."""


def country(code: str) -> str:
    """Return the ISO code for `code`, which may be in lower case or one of the Union's own."""
    code = code.strip().upper()
    return _SPELT.get(code, code)


def within(code: str, regions: tuple[str, ...]) -> str:
    """Return the region of `regions` (ISO codes, or `EU`) that the country `code` lies in; empty if in none."""
    place = country(code)
    for region in regions:
        if place == country(region) or (region == "EU" and place in EU_CODES):
            return region
    return ""
