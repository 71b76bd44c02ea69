"""What it means to serve a version: an OpenAI-compatible endpoint on this machine, whichever engine answers."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from weighbridge.errors import InputError

DEFAULT_CONTEXT_TOKENS = 4096
_MAX_PORT = 65_535
_MAX_ALIAS_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What to serve, and where.

    Attributes:
        model: the model file.
        alias: the name under which clients ask for it.
        host: address to listen on; by default nobody outside this machine can connect.
        port: port to listen on; 0 takes a free one.
        context_tokens: prompt and answer together.
        threads: threads to compute with; None takes every usable core.
        api_key: clients must send it as a bearer token; None lets everyone in who can connect.
    """

    model: Path
    alias: str
    host: str = "127.0.0.1"
    port: int = 0
    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    threads: int | None = None
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            raise InputError(f"{self.port} is not a port", hint="Take one from 1 to 65535, or 0 for any free one.")
        if not 0 < len(self.alias) <= _MAX_ALIAS_CHARACTERS or not self.alias.isprintable():
            raise InputError(f"{self.alias!r} is not a model name")
        if self.context_tokens < 1 or (self.threads is not None and self.threads < 1):
            raise InputError("context and threads must be at least 1", hint="Leave them out to take what fits.")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise InputError("an API key is made of printable ASCII characters")

    @property
    def private(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class ChatServer(Protocol):
    """A running server of one model. It stops when its `with` block is left."""

    @property
    def url(self) -> str:
        """Where this machine reaches it, without a slash at the end; OpenAI clients take `url + "/v1"`."""

    @property
    def alias(self) -> str:
        """The name under which clients ask for the model."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def ask(self, prompt: str, max_tokens: int) -> str:
        """Return the model's answer to one user message, the same for the same prompt.

        Raises:
            EngineError: if the server has ended or answers with an error.
        """

    def wait(self) -> None:
        """Wait until the server ends by itself, which it only does by failing.

        Raises:
            EngineError: saying how it ended.
        """

    def stop(self) -> None:
        """End the server; a second call does no harm."""
