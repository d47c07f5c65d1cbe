"""The JSON form of jobs for clients."""

import base64
import json
import sqlite3

from serve.store import ServerStore


def _whole(item: dict, store: ServerStore) -> dict:
    """Adds the stored bytes to an item of a result; bytes that were dropped for newer results stay null."""
    whole = dict(item)
    for name in item:
        if name.endswith("b64_json"):
            kept = store.result(item[f"{name.removesuffix('b64_json')}id"])
            whole[name] = base64.b64encode(kept.blob).decode() if kept else item[name]
    return whole


def described(row: sqlite3.Row) -> dict:
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


def shown(row: sqlite3.Row, store: ServerStore) -> dict:
    """Returns a job with its preview and its result."""
    result = json.loads(row["result"]) if row["result"] else None
    if result is not None:
        result["data"] = [_whole(item, store) for item in result["data"]]
    preview = base64.b64encode(row["preview"]).decode() if row["preview"] else None
    return described(row) | {"preview_b64_json": preview, "result": result}
