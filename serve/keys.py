"""API keys, kept as hashes, each with a name and its limits. ``python -m serve.keys NAME`` makes one."""

import hashlib
import math
import secrets
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from serve.errors import ApiError
from serve.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The holder of a key, to whom a request belongs."""

    name: str
    rate: RateLimitItem | None  # most requests in a time
    edits: int  # most edits, waiting and running, at once


def digest(key: str) -> str:
    """Returns the stored hash of a key. Keys have 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The known keys, by their hashes. Without any, everyone who can connect is the same owner."""

    def __init__(self, settings: Settings):
        lines = [line for line in settings.keys.split(",") if line.strip()]
        if settings.keys_file:
            lines += Path(settings.keys_file).read_text().splitlines()
        rate = parse(settings.rate) if settings.rate else None
        self._anyone = Owner(name="anyone", rate=rate, edits=settings.per_key)
        lines = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not lines and (settings.keys or settings.keys_file):
            # Otherwise an empty file would open a server that was meant to be closed.
            where = f"settings.keys_file={settings.keys_file}" if settings.keys_file else "settings.keys"
            raise ValueError(f"{where}: there is no key in it: `python -m serve.keys NAME` makes one")
        self._owners = dict(_owner(line, self._anyone) for line in lines)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: str | None) -> Owner:
        """Returns the owner of the key in the header ``Authorization: Bearer KEY``.

        Raises:
            ApiError: 401.
        """
        if not self._owners:
            return self._anyone
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ApiError(401, "No API key: expected the header Authorization: Bearer KEY.", code="missing_api_key")
        owner = self._owners.get(digest(key.strip()))
        if owner is None:
            raise ApiError(401, "This API key is not known here.", code="invalid_api_key")
        return owner

    def named(self, name: str) -> Owner:
        """Returns the owner of an earlier job by name, with the usual limits if the key no longer exists."""
        return next((owner for owner in self._owners.values() if owner.name == name), replace(self._anyone, name=name))

    def count(self, owner: Owner) -> None:
        """Counts a request.

        Raises:
            ApiError: 429 if the owner has used up its rate.
        """
        if owner.rate is None or self._limiter.hit(owner.rate, owner.name):
            return
        after = max(0.001, self._limiter.get_window_stats(owner.rate, owner.name).reset_time - time.time())
        message = f"This key may make {owner.rate}: try again in {math.ceil(after)} s."
        raise ApiError(429, message, code="rate_limit_exceeded", retry_after_s=after)


def _owner(line: str, default: Owner) -> tuple[str, Owner]:
    """Parses a line ``name:sha256[:rate[:edits]]`` as (sha256, owner)."""
    name, *rest = line.split(":")
    hashed, rate, edits = [*rest, "", "", ""][:3]
    if not name or len(rest) > 3 or len(hashed) != 64 or set(hashed) - set("0123456789abcdef"):
        # The line itself is not repeated: it may hold a key in plain text.
        which = f"of {name[:64]}" if rest else "without a colon"
        message = f"the keys' line {which} is no name:sha256[:rate[:edits]]: make it with `python -m serve.keys NAME`"
        raise ValueError(message)
    try:
        own = {"rate": parse(rate)} if rate else {}
        own |= {"edits": max(1, int(edits))} if edits else {}
    except ValueError:
        message = f"the key of {name}: expected name:sha256:rate:edits, e.g. :60/minute:4, got :{':'.join(rest[1:])}"
        raise ValueError(message) from None
    return hashed, replace(default, name=name, **own)


def main() -> None:
    """Prints a new key to standard error, for its user, and its line to standard output, for the keys file."""
    if len(sys.argv) != 2 or not sys.argv[1] or set(sys.argv[1]) & set(":, \n#"):
        raise SystemExit("usage: python -m serve.keys NAME >> keys.txt   (a name without : , # and spaces)")
    key = "v4e-" + secrets.token_urlsafe(32)
    print(f"the key of {sys.argv[1]}, shown this once: {key}", file=sys.stderr)
    print(f"{sys.argv[1]}:{digest(key)}")


if __name__ == "__main__":
    main()
