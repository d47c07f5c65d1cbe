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

ROOT = Path(__file__).resolve().parent.parent.parent


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


def text(status):
    """The proxy, with a line of its own."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Request dropped"})

    return app


async def ours(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 429, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"mine": 1}'})


def asked(app, **headers: str) -> httpx.Response:
    """What comes of `app` through our middleware."""
    [middleware] = middlewares()

    async def ask():
        transport = httpx.ASGITransport(middleware.cls(app))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://v4e", headers=headers) as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (dead, 503, "overloaded"),
        (text(503), 503, "overloaded"),
        (text(404), 404, "not_found"),
        (text(500), 500, "server_error"),
    ],
)
def test_the_proxys_own_answers_are_in_the_envelope(app, status, code):
    answer = asked(app)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
    assert asked(app, **{"x-request-id": "mine"}).headers["x-request-id"] == "mine"


async def page(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"another application's"})


def test_what_applications_answer_passes_through_the_proxy():
    assert (asked(ours).status_code, asked(ours).json()) == (429, {"mine": 1})
    assert (asked(page).status_code, asked(page).text) == (404, "another application's")
    assert (asked(text(401)).status_code, asked(text(401)).text) == (401, "Request dropped")


def test_one_id_is_the_requests_in_the_proxy_and_behind_it():
    seen = []

    async def app(scope, _receive, send):
        seen.extend(value.decode() for name, value in scope["headers"] if name == b"x-request-id")
        await text(500)(scope, _receive, send)

    assert seen == [asked(app).headers["x-request-id"]] and seen[0]


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
