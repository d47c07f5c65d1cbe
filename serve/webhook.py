"""Telling a client's server that a job has ended, signed as Standard Webhooks says: OpenAI's client verifies it."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time

import aiohttp

from serve.outside import session
from serve.settings import Settings

log = logging.getLogger("ray.serve")

PAUSES_S = (0.5, 2.0, 8.0, 30.0)  # between tries


def signed(body: bytes, name: str, now: int, secret: str) -> dict[str, str]:
    """The headers that prove who sent `body`, when."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{name}.{now}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


async def tell(url: str, event: dict, settings: Settings) -> bool:
    """Posts `event` until an answer of 2xx, at most five times. Whether there was one."""
    body = json.dumps(event).encode()
    for pause in (*PAUSES_S, None):
        headers = signed(body, f"msg_{event['data']['id']}", int(time.time()), settings.webhook_secret)
        try:
            request = {"data": body, "headers": headers, "allow_redirects": False}
            async with session(settings.webhooks) as client, client.post(url, **request) as answer:
                if 200 <= answer.status < 300:
                    return True
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            log.warning("webhook of %s: %s", event["data"]["id"], type(error).__name__)
        if pause is not None:
            await asyncio.sleep(pause)
    return False
