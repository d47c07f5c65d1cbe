"""Serves the editor behind HTTP, with a page: http://127.0.0.1:8000.

v4e serve [port=8000] [setting=value ...]

serve/settings.py lists the settings; each may also be a variable V4E_SERVE_NAME. Joins the Ray cluster that
RAY_ADDRESS names, else starts one on this machine. Ends with Ctrl-C.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import fields

from serve.settings import Settings, settings_from

HOST, PORT = "127.0.0.1", "8000"


def main(argv: list[str]) -> None:
    """Serves until interrupted; a wrong setting is reported in one line, before Ray starts."""
    if any(argument in ("-h", "--help") for argument in argv):
        print((__doc__ or "").strip(), "", *(f"  {f.name}={f.default}" for f in fields(Settings)), sep="\n")
        return
    try:
        args = _pairs(argv)
        port = _free_port(args.pop("port", PORT))
        settings = settings_from(args)  # before seconds of imports
        os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "serve.proxy:middlewares")
        import ray
        from ray import serve

        from serve.app import build  # reads the variable above

        app = build(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    ray.init(namespace="serve", address=os.environ.get("RAY_ADDRESS"))
    if lack := lacking(settings, ray.cluster_resources()):
        print(f"error: {lack}", file=sys.stderr)
        raise SystemExit(2)
    serve.start(http_options={"host": HOST, "port": port})
    serve.run(app, blocking=True)


def lacking(settings: Settings, there: Mapping[str, float]) -> str:
    """Says which of a cluster's resources do not suffice for the first replicas; "" if they do."""
    name, each = ("GPU", settings.gpus) if settings.gpus else ("CPU", settings.threads)
    needed, got = each * settings.replicas, there.get(name, 0)
    setting = "gpus" if settings.gpus else "threads"
    if needed <= got:
        return ""
    return f"{settings.replicas} replicas of {setting}={each:g} need {needed:g} {name}s, Ray has {got:g}: set fewer"


def _pairs(argv: list[str]) -> dict[str, str]:
    """Returns arguments ``key=value`` by key."""
    pairs: dict[str, str] = {}
    for argument in argv:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"{argument!r}: expected key=value, e.g. port=8000 steps=4; --help lists the keys")
        if key in pairs:
            raise ValueError(f"{key} is given twice, {pairs[key]!r} and {value!r}: expected once")
        pairs[key] = value
    return pairs


def _free_port(text: str) -> int:
    """Returns the port that `text` names, if nothing listens there yet."""
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"port={text}: expected a number from 1 to 65535")
    with socket.socket() as probe:
        if probe.connect_ex((HOST, int(text))) == 0:
            raise ValueError(f"port={text}: something listens there already: set another, e.g. port={int(text) + 1}")
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1:])
