"""The `ChatServer` that llama.cpp provides, asked by its own client and by an unmodified one."""

import os
import signal
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TinyModel

from weighbridge.adopt.serve import ChatServer, ServerSettings
from weighbridge.errors import EngineError, InputError
from weighbridge.shell.engine.server import LlamaServer


def settings(model: Path, **other: object) -> ServerSettings:
    return ServerSettings(model=model, alias="acme/tiny", context_tokens=512, threads=2, **other)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tiny_model: TinyModel) -> Iterator[ChatServer]:
    with LlamaServer(settings(tiny_model.gguf), start_timeout_s=60) as running:
        yield running


def test_it_answers_and_the_same_prompt_gets_the_same_answer(server: ChatServer) -> None:
    answer = server.ask("weigh the truck", 12)
    assert answer
    assert server.ask("weigh the truck", 12) == answer


def test_an_unmodified_openai_client_sees_the_alias_and_gets_an_answer(server: ChatServer) -> None:
    from openai import OpenAI

    with OpenAI(base_url=server.url + "/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == [server.alias]
        answer = client.chat.completions.create(
            model=server.alias, messages=[{"role": "user", "content": "weigh"}], max_tokens=4
        )
    assert answer.usage is not None
    assert answer.usage.completion_tokens >= 1


def test_it_listens_on_loopback_and_lets_no_page_in_a_browser_read(server: ChatServer) -> None:
    assert urllib.parse.urlsplit(server.url).hostname == "127.0.0.1"
    request = urllib.request.Request(server.url + "/v1/models", headers={"Origin": "http://evil.example"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers.get("Access-Control-Allow-Origin", "") == ""


def test_prompts_of_others_are_not_to_be_read(server: ChatServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(server.url + "/slots"):
        pass
    caught.value.close()
    assert caught.value.code == 501


def test_a_proxy_of_the_environment_sees_nothing(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with LlamaServer(settings(tiny_model.gguf), start_timeout_s=60) as running:
        assert running.ask("weigh", 2)


def test_an_error_of_the_server_is_passed_on(server: ChatServer) -> None:
    with pytest.raises(EngineError, match=r"answered 400.*context") as caught:
        server.ask("weigh " * 2000, 4)
    assert caught.value.place == server.url


def test_without_the_key_nobody_gets_an_answer(tiny_model: TinyModel) -> None:
    with LlamaServer(settings(tiny_model.gguf, api_key="sesame"), start_timeout_s=60) as running:
        assert running.ask("weigh", 2)
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(running.url + "/v1/chat"):
            pass
        caught.value.close()
        assert caught.value.code == 401
    assert "sesame" not in repr(settings(tiny_model.gguf, api_key="sesame"))


def test_after_stop_the_port_is_free_and_the_process_gone(tiny_model: TinyModel) -> None:
    running = LlamaServer(settings(tiny_model.gguf), start_timeout_s=60)
    port = urllib.parse.urlsplit(running.url).port
    assert port
    running.stop()
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    with pytest.raises(EngineError):
        running.ask("weigh", 2)


def test_a_crash_is_reported_to_who_asks_and_to_who_waits(tiny_model: TinyModel) -> None:
    with LlamaServer(settings(tiny_model.gguf), start_timeout_s=60) as running:
        threading.Timer(0.3, os.kill, (running.process_id, signal.SIGSEGV)).start()
        with pytest.raises(EngineError, match=r"llama\.cpp server .* was ended by SIGSEGV"):
            running.wait()
        with pytest.raises(EngineError, match="SIGSEGV"):
            running.ask("weigh", 2)


def test_a_port_that_is_taken_is_refused_before_the_model_is_loaded(tiny_model: TinyModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}") as caught:
            LlamaServer(settings(tiny_model.gguf, port=port))
    assert "another port" in caught.value.hint


def test_a_given_port_is_used(tiny_model: TinyModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with LlamaServer(settings(tiny_model.gguf, port=port), start_timeout_s=60) as running:
        assert running.url == f"http://127.0.0.1:{port}"


def test_a_file_that_is_no_model_says_what_llama_cpp_said(tmp_path: Path, tiny_model: TinyModel) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_model.gguf.read_bytes()[:20_000])
    with pytest.raises(EngineError, match="failed to load model") as caught:
        LlamaServer(settings(broken), start_timeout_s=60)
    assert caught.value.place == str(broken)


def test_a_model_that_is_not_there_is_unusable_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model file"):
        LlamaServer(settings(tmp_path / "absent.gguf"))


def test_not_ready_in_time_is_an_error_and_leaves_nothing_running(tiny_model: TinyModel) -> None:
    with pytest.raises(EngineError, match=r"took longer than 0\.05 s"):
        LlamaServer(settings(tiny_model.gguf), start_timeout_s=0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"port": -1},
        {"context_tokens": 0},
        {"threads": 0},
        {"alias": ""},
        {"alias": "a\nb"},
        {"api_key": ""},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"model": Path("m.gguf"), "alias": "m", **wrong}
    with pytest.raises(InputError):
        ServerSettings(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "private"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)]
)
def test_settings_know_who_can_connect(host: str, private: bool) -> None:
    assert ServerSettings(model=Path("m.gguf"), alias="m", host=host).private is private
