"""Routes of gated access: asking for it, and what authors see and decide."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from sqlalchemy import Connection

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.community import access_requests
from weighbridge.hub.community.access_form import MAX_FIELDS, form_of
from weighbridge.hub.community.access_requests import MAX_REASON_CHARACTERS, STATUSES, AccessRequest
from weighbridge.hub.http.refusal import Refusal, bad_request, too_large
from weighbridge.hub.http.route import Call, Reply, Route, get
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.name import PREFIXES
from weighbridge.hub.repositories.query import behind_number, next_page, number
from weighbridge.hub.repositories.times import iso

PAGE: Final = 1000
MAX_ASK_BYTES: Final = 64 * 1024
MAX_REPORT_ROWS: Final = 100_000
_COLUMNS = ("username", "fullname", "email", "status", "timestamp", "decided", "rejection reason", "fields")
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def requests(call: Call, kind: str) -> Reply:
    """List the requests of a status, a page at a time."""
    status = call.parts["status"]
    after = behind_number(call)
    limit = number(call, "limit", default=PAGE, least=1, most=PAGE)
    with call.hub.database.read() as connection:
        repo = _managed(connection, call, kind)
        found = access_requests.page(connection, repo, status, after=after, limit=limit + 1)
    headers = next_page(call, found[limit - 1].id) if len(found) > limit else {}
    return Reply(body=[_shown(each) for each in found[:limit]], headers=headers)


def handle(call: Call, kind: str) -> Reply:
    """Accept a request, reject it, or put it back: `{user or requestId, status, rejectionReason}`."""
    asked = call.document()
    user, status, reason = asked.get("user"), asked.get("status"), asked.get("rejectionReason") or ""
    if status not in STATUSES:
        raise bad_request("'status' is accepted, rejected or pending.")
    if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARACTERS:
        raise bad_request(f"'rejectionReason' is a text of at most {MAX_REASON_CHARACTERS} characters.")
    if (user is None) == (asked.get("requestId") is None) or not isinstance(user, str | None):
        raise bad_request("A request is named by 'user' or by 'requestId'.")
    request_id = _request_id(asked.get("requestId")) if user is None else None
    with call.hub.database.write() as connection:
        repo = _managed(connection, call, kind)
        access_requests.decide(
            connection,
            call.caller,
            repo,
            user=user,
            request_id=request_id,
            status=status,
            reason=reason,
            now_ms=call.hub.now_ms(),
        )
    return Reply(body={})


def grant(call: Call, kind: str) -> Reply:
    """Let a user in: `{user}`."""
    user = call.document().get("user")
    if not isinstance(user, str):
        raise bad_request("'user' is the name of a user.")
    with call.hub.database.write() as connection:
        repo = _managed(connection, call, kind)
        access_requests.grant(connection, call.caller, repo, user, now_ms=call.hub.now_ms())
    return Reply(body={})


def ask(call: Call, kind: str) -> Reply:
    """Ask for access, with the answers that the card wants, as a form or as JSON."""
    given = _given(call)
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        status = access_requests.ask(connection, call.caller, repo, given, now_ms=call.hub.now_ms())
    return Reply(body={"status": status})


def form(call: Call, kind: str) -> Reply:
    """Tell what has to be answered and agreed to, and how the caller's own request stands."""
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        status = "" if call.caller.is_anonymous else access_requests.standing(connection, call.caller, repo)
    asked = form_of(repo)
    fields = [{"label": each.label, "type": each.kind, "options": list(each.options)} for each in asked.fields]
    return Reply(
        body={
            "gated": repo.gated or False,
            "prompt": asked.prompt,
            "fields": fields,
            "terms_sha256": asked.terms_sha256,
            "commit": asked.commit,
            "status": status or None,
        }
    )


def report(call: Call, kind: str) -> Reply:
    """List every request as CSV (RFC 4180)."""
    with call.hub.database.read() as connection:
        repo = _managed(connection, call, kind)
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(_COLUMNS)
        rows.writerows(_row(each) for each in _all(connection, repo))
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="user-access-report.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(body=text.getvalue().encode(), headers=headers)


def _all(connection: Connection, repo: Repository) -> Iterator[AccessRequest]:
    after = count = 0
    while found := access_requests.page(connection, repo, None, after=after, limit=PAGE):
        count += len(found)
        if count > MAX_REPORT_ROWS:
            raise too_large(f"A report has at most {MAX_REPORT_ROWS:,} rows: list the requests by page.")
        yield from found
        after = found[-1].id


def _managed(connection: Connection, call: Call, kind: str) -> Repository:
    repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
    access_requests.check_manager(connection, call.caller, repo)
    return repo


def _shown(each: AccessRequest) -> dict[str, Any]:
    told: dict[str, Any] = {
        "requestId": f"{each.id:024x}",
        "user": {"user": each.user_name, "fullname": each.full_name or each.user_name, "email": each.email},
        "status": each.status,
        "timestamp": iso(each.asked_ms),
    }
    if each.fields:
        told["fields"] = dict(each.fields)
    if each.reason:
        told["rejectionReason"] = each.reason
    return told


def _row(each: AccessRequest) -> list[str]:
    decided = "" if each.decided_ms is None else iso(each.decided_ms)
    fields = orjson.dumps(dict(each.fields)).decode() if each.fields else ""
    person = (each.user_name, each.full_name, each.email)
    cells = (*person, each.status, iso(each.asked_ms), decided, each.reason, fields)
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


def _given(call: Call) -> dict[str, object]:
    if "json" in call.headers.get("Content-Type", ""):
        return call.document()
    try:
        pairs = parse_qsl(
            call.body.decode(), keep_blank_values=True, strict_parsing=bool(call.body), max_num_fields=MAX_FIELDS + 16
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise bad_request("The answers are sent as JSON, or as a form (application/x-www-form-urlencoded).") from error
    return dict(pairs)


def _request_id(value: object) -> int:
    digits = isinstance(value, str) and len(value) == 24 and set(value) <= set("0123456789abcdef")
    found = int(str(value), 16) if digits else 0
    if not 0 < found < 1 << 63:
        raise Refusal(404, "There is no such access request.")
    return found


def _pages(kind: str, prefix: str) -> tuple[Route, ...]:
    base = f"/{prefix}{{owner}}/{{name}}"
    asked = f"{base}/ask-access"
    return (
        Route(method="POST", path=asked, answer=partial(ask, kind=kind), max_body_bytes=MAX_ASK_BYTES),
        get(asked, partial(form, kind=kind)),
        get(f"{base}/user-access-report", partial(report, kind=kind)),
    )


_BASE: Final = "/{owner}/{name}/user-access-request"

ROUTES = (
    *for_kinds("GET", f"{_BASE}/{{status:pending|accepted|rejected}}", requests),
    *for_kinds("POST", f"{_BASE}/handle", handle),
    *for_kinds("POST", f"{_BASE}/grant", grant),
    *(route for kind, prefix in PREFIXES.items() if kind != "bucket" for route in _pages(kind, prefix)),
)
