"""A hub behind an address: versions as repositories, and what is said about them in `OWNER/weighbridge`.

The order of writing keeps one promise: whoever can see a version finds its files, its attestation and its status.

1. The repository of a new version is made privately, and filled by one commit; of a version whose name is published
   already only the bytes are sent, where no commit names them.
2. The statements (catalogue, statuses, metadata, attestations) become current in one commit.
3. Names that were published already get their new commit. Then each repository gets the visibility of its stage.

A run that was killed goes on: what has arrived is not sent again, and steps that are done are seen and left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from weighbridge.dossier.status import State
from weighbridge.errors import HubError, InputError
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion, check_staged, find
from weighbridge.hub.port import Further
from weighbridge.hub.standing import (
    check_known,
    check_not_recalled,
    check_offered,
    entry_of,
    said_of,
    stage_of,
    state_of,
)
from weighbridge.hub.state import attestation_path, state_files, state_id
from weighbridge.hub.visibility import VISIBILITY, Visibility, recalled_from
from weighbridge.shell.hub.recalled_card import with_notice
from weighbridge.shell.hub.remote_address import RemoteAddress
from weighbridge.shell.hub.remote_errors import remote_errors
from weighbridge.shell.hub.remote_statements import StatementRepository, Statements
from weighbridge.shell.hub.remote_trust import trust_own
from weighbridge.shell.hub.remote_version import Found, VersionRepository, total_bytes

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

    from weighbridge.shell.progress import Progress

_LINK = re.compile(r'href="models/([\w.-]+/[\w.-]+)/', re.ASCII)
Sent = dict[str, "list[CommitOperationAdd]"]


class RemoteHub:
    """The models of one owner on a hub that speaks the Hugging Face API. Opening sends nothing."""

    def __init__(self, address: RemoteAddress, owner: str, progress: "Progress | None" = None) -> None:
        self.address, self.owner, self._progress = address, owner, progress

    @property
    def place(self) -> str:
        """The hub's address."""
        return self.address.url

    @property
    def statements(self) -> str:
        """The address below which what the owner signs lies."""
        return self.address.statements(self.owner)

    @cached_property
    def _api(self) -> "HfApi":
        return client(self.address)

    @cached_property
    def _signed(self) -> StatementRepository:
        return StatementRepository(self._api, self.address, self.owner)

    # What readers use

    def catalogue(self) -> Mapping[str, PublishedVersion]:
        """Return what the owner has published, by name in order."""
        return self._signed.catalogue()

    def path_of(self, name: str, *, even_recalled: bool = False) -> Path:
        """Download a published version; return its folder."""
        from weighbridge.shell.hub.remote_read import download

        version = find(self.catalogue(), name, place=self.place)
        if not even_recalled:
            check_offered(version)
        return download(self.address, version.name, version.digest).folder

    def link_to(self, name: str) -> str:
        """Return the address of the version's page."""
        return f"{self.address.url}/{name}"

    # What publishers use

    def check_writable(self) -> None:
        """Return if the token may write: a mistake shows before hours of work and not after them.

        Raises:
            InputError: if there is no token.
            HubError: if the hub cannot be reached, does not accept the token, or says that it may only read.
        """
        self.address.check_token()
        with remote_errors(self.place):
            me: Any = self._api.whoami()
            role = (me.get("auth") or {}).get("accessToken", {}).get("role")
            owners = {me.get("name"), *(org.get("name") for org in me.get("orgs") or ())}
        if role == "read":
            raise HubError("the token may only read", place=self.place, hint="Make one with write access on the hub.")
        if self.owner.lower() not in {str(owner).lower() for owner in owners}:
            raise HubError(
                f"the token is of {me.get('name')}, who cannot publish as {self.owner}",
                place=self.place,
                hint=f"Use a token of {self.owner}, or of a member of that organisation.",
            )

    def publish(
        self,
        versions: Sequence[StagedVersion],
        *,
        page: Callable[[Mapping[str, PublishedVersion]], str],
        further: Further | None = None,
    ) -> str:
        """Publish all of `versions`; see `Hub.publish` and the order above."""
        check_staged(versions, ())
        self._check_owner(versions)
        self.check_writable()
        before = self._read()
        check_not_recalled(versions, before.catalogue, before.further)
        found = {v.name: self._repository(v.name).prepare(known=v.name in before.catalogue) for v in versions}
        sent = self._send([v for v in versions if not _is_there(v, found[v.name])])
        catalogue = {**before.catalogue, **{v.name: entry_of(v, before.catalogue.get(v.name)) for v in versions}}
        for staged in versions:
            if staged.name in sent and staged.name not in before.catalogue:
                self._commit(staged, sent)
        attested = {attestation_path(v.name): v.attestation for v in versions}
        state = self._state(before, catalogue, attested, page, further)
        for staged in versions:
            if staged.name in sent and staged.name in before.catalogue:
                self._commit(staged, sent)
        for staged in versions:
            self._show(staged.name, catalogue[staged.name])
        return state

    def amend(
        self,
        change: Callable[[Mapping[str, PublishedVersion]], Mapping[str, PublishedVersion]],
        *,
        page: Callable[[Mapping[str, PublishedVersion], str], str],
        further: Further | None = None,
    ) -> str:
        """Change what is said about published versions; see `Hub.amend`.

        What is recalled afterwards is given out to nobody new, and its card says so at its top.
        """
        self.check_writable()
        before = self._read()
        catalogue = change(before.catalogue)
        if {n: v.digest for n, v in catalogue.items()} != {n: v.digest for n, v in before.catalogue.items()}:
            raise HubError("only what is said about versions can be amended, not which ones there are")
        state = self._state(before, catalogue, {}, lambda ordered: page(ordered, before.page), further)
        for version in catalogue.values():
            if state_of(version) == State.RECALLED:
                self._withdraw(version)
        return state

    # How it is done

    def _repository(self, name: str) -> VersionRepository:
        return VersionRepository(self._api, self.address.url, name)

    def _check_owner(self, versions: Sequence[StagedVersion]) -> None:
        for staged in versions:
            if staged.name.partition("/")[0] != self.owner:
                raise InputError(f"{staged.name} does not belong to {self.owner}", place=self.place)

    def _read(self) -> Statements:
        before = self._signed.read()
        check_known(before.catalogue, before.further, place=self._signed.place)
        return before

    def _send(self, versions: Sequence[StagedVersion]) -> Sent:
        advance = self._begin(f"sending to {self.place}", total_bytes(versions)) if versions else lambda _: None
        return {staged.name: self._repository(staged.name).send(staged, advance) for staged in versions}

    def _begin(self, text: str, total: int | None = None) -> Callable[[int], None]:
        return self._progress.begin(text, total) if self._progress else lambda _: None

    def _commit(self, staged: StagedVersion, sent: Sent) -> None:
        self._repository(staged.name).commit(staged, sent[staged.name])

    def _state(
        self,
        before: Statements,
        catalogue: Mapping[str, PublishedVersion],
        attested: Mapping[str, bytes],
        page: Callable[[Mapping[str, PublishedVersion]], str],
        further: Further | None,
    ) -> str:
        ordered = MappingProxyType(dict(sorted(catalogue.items())))
        files, _ = state_files(
            ordered, before.further, attested, page=lambda known: self._linked(page(known)), further=further
        )
        state = state_id(files) if files == before.files else self._signed.write(before, files)
        trust_own(self.address, self.owner, files.get("metadata/1.root.json", b""))
        if before.private and any(not _visibility(version).private for version in ordered.values()):
            self._signed.show()
        return state

    def _linked(self, page: str) -> str:
        """Let the page's links lead to the repositories."""
        return _LINK.sub(lambda match: f'href="{self.address.url}/{match[1]}/resolve/main/', page)

    def _show(self, name: str, version: PublishedVersion) -> None:
        if state_of(version) == State.ACTIVE:
            repository = self._repository(name)
            found, wanted = repository.find(), _visibility(version)
            if found is None or found.visibility != wanted:
                repository.show(wanted)

    def _withdraw(self, version: PublishedVersion) -> None:
        repository = self._repository(version.name)
        found = repository.find()
        if found is None:
            return
        if found.visibility.gate != "manual":
            repository.show(recalled_from(found.visibility))
        if (said := said_of(version)) is not None:
            repository.replace_card(lambda card: with_notice(card, said), f"Recall {version.digest}")


def client(address: RemoteAddress) -> "HfApi":
    """Return the client of the Hugging Face API for a hub.

    Raises:
        MissingExtraError: if it is not installed.
    """
    with remote_errors(address.url):
        from huggingface_hub import HfApi

        # False, and not None: the token that a person keeps for another hub is not sent here.
        return HfApi(endpoint=address.url, token=address.token or False, library_name="weighbridge")


def _is_there(staged: StagedVersion, found: Found) -> bool:
    commit = found.digests.get(staged.manifest.digest)
    return commit is not None and commit == found.head


def _visibility(version: PublishedVersion) -> Visibility:
    """Return the visibility of a version's stage; private for one that its stage does not make visible."""
    stage = stage_of(version)
    said = said_of(version)
    if stage in VISIBILITY:
        return VISIBILITY[stage]
    circle = said.circle if said is not None else ""
    return next((value for key, value in VISIBILITY.items() if key == circle), Visibility(private=True))
