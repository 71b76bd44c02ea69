"""What a hub's catalogue says about using a version: offered, offered with a warning, or recalled. Touches no disk."""

from collections.abc import Mapping, Sequence

from weighbridge.dossier.status import STATUS_NAME, State, Status, StatusError, utc_text
from weighbridge.errors import HubError, RefusedError
from weighbridge.gate.stage import Stage
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion

STATUS_KEY = "status"
"""Under this key a catalogue entry's record holds the JSON form of a `Status`."""

_STATES = {Stage.SUPERSEDED: State.DEPRECATED, Stage.RECALLED: State.RECALLED}


class RecalledError(RefusedError):
    """The publisher has recalled this version."""


def state_of(version: PublishedVersion) -> State:
    """Return the state that follows from the stage that a version is in.

    Raises:
        HubError: if the catalogue names a stage that is not known.
    """
    return _STATES.get(stage_of(version), State.ACTIVE)


def stage_of(version: PublishedVersion) -> Stage:
    """Return the stage that a version is in.

    Raises:
        HubError: if it is not known here.
    """
    try:
        return Stage(version.stage)
    except ValueError as error:
        raise HubError(
            f"{version.name} is in a stage that is not known: {version.stage[:80]!r}",
            hint="A newer Weighbridge wrote the catalogue: update Weighbridge.",
        ) from error


def entry_of(staged: StagedVersion, before: PublishedVersion | None) -> PublishedVersion:
    """Return the catalogue's entry; bytes that were superseded stay so when they are published again."""
    if before is not None and before.digest == staged.manifest.digest and state_of(before) != State.ACTIVE:
        return before
    return PublishedVersion(name=staged.name, digest=staged.manifest.digest, stage=staged.stage, record=staged.record)


def said_of(version: PublishedVersion) -> Status | None:
    """Return what the publisher said about a published version; None if nothing was said.

    Raises:
        HubError: if the catalogue holds something else in its place.
    """
    record = version.record.get(STATUS_KEY)
    if record is None:
        return None
    try:
        status = Status.from_json(record if isinstance(record, dict) else {}, place=version.name)
    except StatusError as error:
        raise HubError(f"the catalogue's status is not one: {error.message}", place=version.name) from error
    # A record that speaks of other bytes says nothing about these.
    return status if (status.name, status.digest) == (version.name, version.digest) else None


def check_offered(version: PublishedVersion) -> None:
    """Return if a version may be handed out for use.

    Raises:
        RecalledError: if it is recalled; says why, and what to use in its place.
    """
    if state_of(version) == State.RECALLED:
        raise recalled(version.name, said_of(version))


def recalled(name: str, status: Status | None) -> RecalledError:
    """Return the error for a version that was recalled."""
    why = f" since {utc_text(status.since)}: {status.reason}" if status else ", and the catalogue does not say why"
    successor = status.successor if status else ""
    return RecalledError(
        f"{name} is recalled{why}",
        hint=f"Use {successor} in its place." if successor else "Stop using it; its publisher names no successor.",
    )


def caution(status: Status | None) -> str:
    """Return what to tell whoever uses a version all the same; empty if there is nothing to say."""
    if status is None or status.state == State.ACTIVE:
        return ""
    advice = f"; use {status.successor} in its place" if status.successor else ""
    return f"{status.name} is {status.state} since {utc_text(status.since)}: {status.reason}{advice}"


def check_not_recalled(
    versions: Sequence[StagedVersion], catalogue: Mapping[str, PublishedVersion], files: Mapping[str, bytes]
) -> None:
    """Return if none of the versions was ever recalled.

    Args:
        versions: what is to be published.
        catalogue: what is published.
        files: the further files of the hub's state; statuses of earlier versions are among them.

    Raises:
        RecalledError: if one has the bytes, or the payload under another dossier, of a recalled version.
    """
    gone: dict[str, Status | None] = {}
    for entry in catalogue.values():
        if state_of(entry) == State.RECALLED:
            gone.update(dict.fromkeys(_identities(entry.digest, entry.record.get("subject")), said_of(entry)))
    for status in signed_statuses(files).values():
        if status.state == State.RECALLED:
            gone.update(dict.fromkeys(_identities(status.digest, status.subject), status))
    for staged in versions:
        for identity in _identities(staged.manifest.digest, staged.record.get("subject")):
            if identity in gone:
                error = recalled(staged.name, gone[identity])
                error.hint = "A recall is final: publish other weights, or correct the plan that makes these."
                raise error


def check_known(catalogue: Mapping[str, PublishedVersion], files: Mapping[str, bytes], *, place: str) -> None:
    """Return if a catalogue lists nothing but what was signed together with it.

    Args:
        catalogue: what is published.
        files: the further files of the same state; without metadata among them nothing was signed so far.
        place: the catalogue, for errors.

    Raises:
        HubError: if it names a version, or a version's digest, that no status speaks of.
        StatusError: if a status is malformed.
    """
    if not any(path.startswith("metadata/") for path in files):
        return
    statuses = signed_statuses(files)
    for name, version in catalogue.items():
        status = statuses.get(status_path(name))
        if status is None or status.digest != version.digest:
            raise HubError(
                f"the catalogue lists {name} with a digest that was never signed: somebody altered it",
                place=place,
                hint="Bring the hub folder back from a copy that nobody altered, or publish again into a new one.",
            )


def signed_statuses(files: Mapping[str, bytes]) -> dict[str, Status]:
    """Return the statuses among the files of a state, by path.

    Raises:
        StatusError: if one is malformed.
    """
    return {
        path: Status.from_bytes(data, place=path)
        for path, data in files.items()
        if path.startswith("status/") and is_status_path(path)
    }


def status_path(name: str, digest: str = "") -> str:
    """Return where a hub keeps the status of the version `name`, or of an earlier one with this digest."""
    return f"status/{name}/{f'{digest}.json' if digest else STATUS_NAME}"


def is_status_path(path: str) -> bool:
    """Say whether a path is one that `status_path` returns (and not a copy under the name of its hash)."""
    parts = path.split("/")
    return len(parts) == 4 and parts[0] == "status" and parts[3].count(".") == 1 and parts[3].endswith(".json")


def _identities(digest: str, subject: object) -> tuple[str, ...]:
    return (digest, subject) if isinstance(subject, str) and subject else (digest,)
