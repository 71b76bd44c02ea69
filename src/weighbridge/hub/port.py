"""Where versions are published: the port that the hub in a folder and the hub behind an address share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from weighbridge.hub.catalogue import PublishedVersion, StagedVersion

Further = Callable[[Mapping[str, PublishedVersion], Mapping[str, bytes]], Mapping[str, bytes]]
"""Makes the further files of a new state from its catalogue and from those of the state before it."""


class Hub(Protocol):
    """Keeps versions, a catalogue of them, and what is signed about them."""

    @property
    def place(self) -> str:
        """Folder or web address, as people name it."""

    @property
    def statements(self) -> str:
        """Folder or address below which `metadata/`, `status/` and `advisories/` lie."""

    def catalogue(self) -> Mapping[str, PublishedVersion]:
        """Return what is published, by name in order; nothing if nothing ever was.

        Raises:
            HubError: if the catalogue cannot be read or is not one.
        """

    def path_of(self, name: str, *, even_recalled: bool = False) -> Path:
        """Return a folder of this machine that holds the files of a published version.

        Raises:
            HubError: if there is none of this name, or its files cannot be had.
            RecalledError: if it is recalled, unless `even_recalled`.
        """

    def link_to(self, name: str) -> str:
        """Return where people find the version `owner/name`: a folder, or an address."""

    def check_writable(self) -> None:
        """Return if something can be published here, as far as that can be told before.

        Raises:
            HubError: if not: a mistake shows before hours of work and not after them.
        """

    def publish(
        self,
        versions: Sequence[StagedVersion],
        *,
        page: Callable[[Mapping[str, PublishedVersion]], str],
        further: Further | None = None,
    ) -> str:
        """Publish all of `versions`; return the id of the hub's state. A second call for the same changes nothing.

        Args:
            versions: what to publish; a name that is there already gets the new version.
            page: makes `index.html` from the catalogue as it will be; its links lead to `models/owner/name/…`.
            further: makes the further files of the state; without it they stay.

        Raises:
            HubError: if the hub cannot be written to, or a staged file is not what its manifest states.
            RecalledError: if one of the versions was recalled before.
        """

    def amend(
        self,
        change: Callable[[Mapping[str, PublishedVersion]], Mapping[str, PublishedVersion]],
        *,
        page: Callable[[Mapping[str, PublishedVersion], str], str],
        further: Further | None = None,
    ) -> str:
        """Change what is said about published versions, in one step; return the id of the state that is current now.

        Args:
            change: makes the new catalogue from the current one.
            page: makes the new `index.html` from the new catalogue and the current page.
            further: makes the further files of the state; without it they stay.

        Raises:
            HubError: if the hub cannot be written to, or a name or digest would be another one.
        """
