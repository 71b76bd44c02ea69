"""Serves a GGUF file through llama.cpp's own HTTP server, in a child process."""

import http.client
import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Self

from weighbridge.adopt.serve import ServerSettings
from weighbridge.errors import EngineError, InputError
from weighbridge.shell.engine.child import Child, usable_threads
from weighbridge.shell.engine.libllama import PACKAGE, package_version

DEFAULT_START_TIMEOUT_S = 300.0
_PROCESS = "weighbridge.shell.engine.server_process"
_ANSWER_TIMEOUT_S = 600.0
_HEALTH_TIMEOUT_S = 5.0
_HEALTH_PAUSE_S = 0.05
_MAX_ANSWER_BYTES = 16 << 20
_SHOWN_CHARACTERS = 300
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # looked up, not bound


class LlamaServer:
    """A `ChatServer` that is ready once it is constructed.

    Args:
        settings: what to serve, and where.
        start_timeout_s: how long loading the model may take.

    Raises:
        MissingExtraError: if `xllamacpp` is not installed.
        InputError: if the model file or the port cannot be had.
        EngineError: if llama.cpp cannot load the model, crashes, or is not ready in time.
    """

    def __init__(self, settings: ServerSettings, *, start_timeout_s: float = DEFAULT_START_TIMEOUT_S) -> None:
        name = f"the llama.cpp server ({PACKAGE} {package_version()})"
        if not settings.model.is_file():
            raise InputError("there is no such model file", place=str(settings.model))
        _require_port(settings)
        self._settings = settings
        # Directly to this machine: a proxy of the environment must see neither prompts nor answers.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        threads = settings.threads or usable_threads()
        request = {
            "model": str(settings.model.absolute()),
            "alias": settings.alias,
            "host": settings.host,
            "port": settings.port,
            "context_tokens": settings.context_tokens,
            "threads": threads,
            "api_key": settings.api_key,
        }
        deadline = time.monotonic() + start_timeout_s
        self._child = Child(
            _PROCESS, request, place=str(settings.model), engine=name, threads=threads, timeout_s=start_timeout_s
        )
        try:
            self._url = self._await_address()
            self._child.lift_deadline()
            self._await_health(deadline)
        except BaseException:
            self._child.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where this machine reaches it, without a slash at the end; OpenAI clients take `url + "/v1"`."""
        return self._url

    @property
    def alias(self) -> str:
        """The name under which clients ask for the model."""
        return self._settings.alias

    @property
    def process_id(self) -> int:
        """The process that serves."""
        return self._child.process_id

    def ask(self, prompt: str, max_tokens: int) -> str:
        """Return the model's answer to one user message, the same for the same prompt.

        Raises:
            EngineError: if the server has ended or answers with an error.
        """
        answer = self._request(
            "/v1/chat/completions",
            {
                "model": self.alias,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "seed": 0,
            },
            timeout_s=_ANSWER_TIMEOUT_S,
        )
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise self._error(f"unreadable answer {str(answer)[:_SHOWN_CHARACTERS]}") from None
        return content if isinstance(content, str) else ""

    def wait(self) -> None:
        """Wait until the server ends by itself, which it only does by failing.

        Raises:
            EngineError: saying how it ended.
        """
        for _ in self._child.messages():
            continue
        raise self._child.failure()

    def stop(self) -> None:
        """End the server; a second call does no harm."""
        self._child.stop()

    def _await_address(self) -> str:
        for message in self._child.messages():
            parts = urllib.parse.urlsplit(str(message.get("address")))
            if parts.scheme != "http" or not parts.port:
                raise self._error(f"unreadable address {message!r}")
            host = _EVERYWHERE.get(self._settings.host, self._settings.host)
            return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{parts.port}"
        raise self._child.failure("while the model was loaded")

    def _await_health(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                with self._opener.open(f"{self._url}/health", timeout=_HEALTH_TIMEOUT_S) as answer:
                    if answer.status == http.client.OK:
                        return
            except OSError:  # not yet: refused, or 503 while the model is loaded
                if not self._child.running:
                    raise self._child.failure("before it was ready") from None
            time.sleep(_HEALTH_PAUSE_S)
        raise self._error("the server was not ready in time")

    def _request(self, path: str, body: dict[str, Any], *, timeout_s: float) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        request = urllib.request.Request(  # noqa: S310  # always http to the address that the child reported
            self._url + path, data=json.dumps(body).encode("utf-8"), headers=headers
        )
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                data = answer.read(_MAX_ANSWER_BYTES)
            return json.loads(data)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_SHOWN_CHARACTERS).decode("utf-8", "replace")
            raise self._error(f"answered {error.code}: {said}") from None
        except (OSError, http.client.HTTPException) as error:
            if not self._child.running:
                raise self._child.failure("while it answered") from error
            raise self._error(f"does not answer: {error}") from error
        except ValueError as error:
            raise self._error(f"unreadable answer: {error}") from error

    def _error(self, what: str) -> EngineError:
        return EngineError(f"the llama.cpp server: {what}", place=self._url if hasattr(self, "_url") else "")


def _require_port(settings: ServerSettings) -> None:
    """Say clearly that a port is taken; llama.cpp only logs that it could not start."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
            hint="Choose another port, or 0 for any free one.",
        ) from error
