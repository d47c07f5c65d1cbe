"""What is deployed: the committed YAML, the app as `serve build` sees it, and the proxy's own answers."""

import asyncio
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner
from ray.serve import scripts

from serve.app import build
from serve.proxy import middlewares
from serve.settings import settings_from

ROOT = Path(__file__).resolve().parent.parent


def test_the_committed_yaml_is_valid_and_stays_on_this_machine():
    from ray.serve.schema import ServeDeploySchema

    plain = yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text())
    schema = ServeDeploySchema.model_validate(plain)
    [app] = schema.applications
    assert app.import_path == "serve.app:build"
    assert settings_from(app.args, {}).max_replicas == 4  # type: ignore[arg-type]
    assert schema.http_options.host == "127.0.0.1"


def test_serve_build_makes_a_yaml_of_the_app(tmp_path, monkeypatch):
    out = tmp_path / "serve.yaml"
    monkeypatch.setenv("V4E_SERVE_MAX_REPLICAS", "3")
    made = CliRunner().invoke(scripts.build, ["serve.app:app", "-o", str(out), "--app-dir", str(ROOT)])
    assert made.exit_code == 0, made.output
    [app] = yaml.safe_load(out.read_text())["applications"]
    model = next(d for d in app["deployments"] if d["name"] == "Model")
    assert model["autoscaling_config"]["max_replicas"] == 3
    assert model["graceful_shutdown_timeout_s"] == 60.0


def test_a_wrong_setting_ends_in_one_line_before_ray_is_asked():
    with pytest.raises(ValueError, match=r"settings\.max_replicas=1 is below replicas=2"):
        build({"replicas": "2"})


async def dead(_scope, _receive, _send):
    """The proxy, when the front dies before it has answered."""


async def text(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Request dropped"})


async def ours(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 429, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"mine": 1}'})


@pytest.mark.parametrize(("app", "status"), [(dead, 503), (text, 503), (ours, 429)])
def test_the_proxys_own_answers_are_in_the_envelope(app, status):
    [middleware] = middlewares()

    async def ask():
        transport = httpx.ASGITransport(middleware.cls(app))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://v4e") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    assert answer.status_code == status
    if app is ours:
        assert answer.json() == {"mine": 1}
    else:
        assert answer.json()["error"]["code"] == "overloaded" and answer.headers["retry-after"] == "5"


@pytest.mark.ray
@pytest.mark.slow
def test_it_does_not_start_for_everybody_without_keys(cluster, random_family, tmp_path):
    from ray import serve

    serve.start(proxy_location="Disabled", http_options={"host": "0.0.0.0"})  # nothing listens: it is only said
    try:
        with pytest.raises(RuntimeError):
            serve.run(build({"model": str(random_family / "tiny-wan-i2v"), "state": str(tmp_path), "warm": ""}))
        front = serve.status().applications["default"].deployments["Front"]
        assert "http_options.host=0.0.0.0 is reachable from other machines and there are no API keys" in front.message
    finally:
        serve.shutdown()
