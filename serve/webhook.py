"""Webhooks: posts to a client's server that a job has ended, signed by Standard Webhooks as OpenAI's client checks."""

import asyncio
import json
import logging
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

from serve.outside import session
from serve.settings import Settings

log = logging.getLogger("ray.serve")

PAUSES_S = (0.5, 2.0, 8.0, 30.0)  # between attempts


def signed(body: bytes, name: str, now: datetime, secret: str) -> dict[str, str]:
    """Returns the headers that prove who sent `body` under `name`, at `now` (UTC)."""
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, now, body.decode()),
    }


async def tell(url: str, event: dict, settings: Settings) -> bool:
    """Posts `event` until an answer has status 2xx, at most five times. Returns whether one had."""
    body = json.dumps(event).encode()
    for pause in (*PAUSES_S, None):
        headers = signed(body, f"msg_{event['data']['id']}", datetime.now(UTC), settings.webhook_secret)
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
