"""The JSON form of jobs for clients."""

import base64
import json

from serve.answers import with_url
from serve.fields import JobFields
from serve.store import Row, ServerStore


def _whole(item: dict, store: ServerStore) -> dict:
    """Adds the stored bytes to an item of a result; bytes that were dropped for newer results stay null."""
    whole = dict(item)
    for name in item:
        if name.endswith("b64_json"):
            kept = store.result(item[f"{name.removesuffix('b64_json')}id"])
            whole[name] = base64.b64encode(kept.blob).decode() if kept else item[name]
    return whole


def described(row: Row) -> dict:
    """Returns a job without its pictures."""
    return {
        "id": row["id"],
        "object": "edit.job",
        "status": row["status"],
        "created_at": int(row["created"]),
        "expires_at": int(row["expires"]),
        "progress": {"step": row["step"], "steps": row["steps"]},
        "error": json.loads(row["error"]) if row["error"] else None,
    }


def placed(row: Row, store: ServerStore, replicas: int) -> dict:
    """Returns a job without pictures, with its instruction and, if it waits, its place among all unfinished ones."""
    place, waiting = store.place(row["id"]) if row["status"] == "queued" else (0, 0)
    queue = {"place": place, "waiting": waiting, "replicas": replicas} if place else None
    return described(row) | {"prompt": json.loads(row["fields"])["prompt"], "queue": queue}


def shown(row: Row, store: ServerStore, replicas: int, base_url: str) -> dict:
    """Returns a job with its preview and its result."""
    result = json.loads(row["result"]) if row["result"] else None
    if result is not None:
        fields = JobFields.model_validate_json(row["fields"])
        result["data"] = [with_url(fields, _whole(item, store), base_url) for item in result["data"]]
    preview = base64.b64encode(row["preview"]).decode() if row["preview"] else None
    return placed(row, store, replicas) | {"preview_b64_json": preview, "result": result}
