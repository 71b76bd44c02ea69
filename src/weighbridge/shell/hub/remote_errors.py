"""What goes wrong between here and a hub, in this package's words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weighbridge.errors import HubError, MissingExtraError

_AGAIN = "Run the command again; what has arrived is not sent again."


class NotThereError(HubError):
    """The hub has no such repository or file, or does not show it to whoever asks."""


class ConflictError(HubError):
    """Somebody else wrote to the hub in the meantime."""


@contextmanager
def remote_errors(place: str) -> Iterator[None]:
    """Raise what the client of the Hugging Face API raises as a `HubError`.

    Args:
        place: the hub or repository, for people.

    Raises:
        MissingExtraError: if the client is not installed.
    """
    try:
        from huggingface_hub import get_session
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", extra="hub") from error
    # httpx, or the package that newer versions of the library use in its place.
    library: Any = sys.modules[type(get_session()).__module__.partition(".")[0]]
    try:
        yield
    except HubError:
        raise
    except HfHubHTTPError as error:
        raise _answered(error, place) from error
    except OfflineModeIsEnabled as error:
        raise HubError(
            "the client is told to stay offline", place=place, hint="Unset HF_HUB_OFFLINE and run the command again."
        ) from error
    except (
        library.HTTPError,
        library.InvalidURL,
        library.StreamError,
        EntryNotFoundError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise HubError(
            f"the hub cannot be reached: {first_line(error)}",
            place=place,
            hint=f"Check the address, its certificate and the network. {_AGAIN}",
        ) from error
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        # hf_xet's own errors are RuntimeErrors; the others: answers of a shape that the client does not expect.
        raise HubError(f"the hub and its client do not agree: {first_line(error)}", place=place, hint=_AGAIN) from error


def _answered(error: Any, place: str) -> HubError:
    """Return the error for an answer of the hub."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    status, said = int(error.response.status_code), _said(error)
    if isinstance(error, GatedRepoError):
        hint = "Agree to its conditions on the hub, wait until you are let in, and give your token with --token-env."
        return HubError("the hub does not give it to you: it is gated", place=place, hint=hint)
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        hint = "Make a new token on the hub: this one is misspelt, revoked or expired, or of another hub."
        return HubError("the hub does not accept the token", place=place, hint=hint)
    if status in (401, 404):
        hint = "Check the name and the address; what is private is shown to a token of its owner only (--token-env)."
        return NotThereError("the hub does not have it, or does not show it to you", place=place, hint=hint)
    if status == 403:
        hint = "Use a token with write access to this owner; settings of a repository need its administrator."
        return HubError(f"the hub does not allow it: {said}", place=place, hint=hint)
    if status in (409, 412):
        hint = f"Somebody else publishes at the same time. {_AGAIN}"
        return ConflictError(f"the hub has moved on in the meantime: {said}", place=place, hint=hint)
    if status == 429:
        seconds = _wait(error.response.headers)
        wait = f"Wait {seconds} seconds. " if seconds else "Wait a while. "
        return HubError("the hub asks for fewer requests", place=place, hint=wait + _AGAIN)
    if status >= 500:
        return HubError(f"the hub failed: {said}", place=place, hint=f"Wait a while. {_AGAIN}")
    return HubError(f"the hub refused it ({status}): {said}", place=place, hint="Correct what it names.")


def _wait(headers: Any) -> int:
    from huggingface_hub.utils._http import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    after = headers.get("Retry-After", "")
    return limit.reset_in_seconds if limit is not None else int(after) if after.isascii() and after.isdigit() else 0


def _said(error: Any) -> str:
    """Return the hub's own words, one short line of them."""
    words = error.response.headers.get("X-Error-Message") or error.server_message or first_line(error)
    line = (str(words).strip().splitlines() or [""])[0]
    return "".join(char for char in line if char.isprintable())[:300].rstrip(". ")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
