"""Who may read the metrics: programs of this machine while only it is served, and else an administrator."""

from pathlib import Path

import httpx2
import pytest
from running_hub import RunningHub, running_hub

from weighbridge.hub.server import HubSettings


def status(hub: RunningHub, secret: str = "", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if secret:
        named["Authorization"] = f"Bearer {secret}"
    answer = httpx2.get(f"{hub.endpoint}/metrics", headers=named)
    assert ("weighbridge_hub_requests" in answer.text) == (answer.status_code == 200)
    return answer.status_code


def test_this_machine_reads_metrics_without_a_token_and_what_is_passed_on_does_not(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as hub:
        assert status(hub) == 200
        for passed_on in ("X_Forwarded_For", "X_Real_Ip", "Forwarded", "Via", "X_Forwarded_Host", "X_Forwarded_Proto"):
            assert status(hub, **{passed_on: "203.0.113.7"}) == 401
        # A page that made its own name point here.
        assert status(hub, Host="evil.example") == 401


@pytest.mark.parametrize("settings", [HubSettings(public_url="https://hub.example.org"), HubSettings(x_accel="/bytes")])
def test_behind_another_server_only_an_administrator_reads_metrics(tmp_path: Path, settings: HubSettings) -> None:
    with running_hub(tmp_path / "hub", settings=settings) as hub:
        assert status(hub) == 401
        assert status(hub, "hf_" + "a" * 37) == 401
        assert status(hub, hub.user("alice")) == 403
        assert status(hub, hub.user("root", is_admin=True, role="read")) == 200
        narrow = hub.user(
            "root", role="fineGrained", scopes=({"type": "user", "name": "root", "permissions": ["repo.write"]},)
        )
        assert status(hub, narrow) == 403
