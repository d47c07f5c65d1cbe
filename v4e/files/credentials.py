"""Content credentials (C2PA) of edits: signed into a picture's or clip's file, read back and checked.

Needs c2pa-python. Nothing is fetched: neither manifests that a file names by address, nor answers on revocation.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from v4e.files.images import ANY, mime_of

if TYPE_CHECKING:
    from v4e.files.signers import Signer  # needs cryptography, which comes with c2pa-python

EDIT = "v4e.edit"  # label of the assertion that holds an edit's record
MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/"
WHOLE, PART = f"{MEDIA}trainedAlgorithmicMedia", f"{MEDIA}compositeWithTrainedAlgorithmicMedia"
NEEDED = "content credentials need c2pa-python: pip install -e '.[sign]'"
# Codes for who signed, which the state tells, and for credentials of a source that lie elsewhere and are not fetched.
NO_LIES = ("signingCredential.untrusted", "manifest.inaccessible")
MOST_TURNS = 1000  # of a history that is walked

State = Literal["none", "invalid", "valid", "trusted"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class SignedTurn:
    """One signed edit of a file's history."""

    record: Mapping[str, Any]  # what the signer says of the edit; empty if it says nothing
    signer: str
    ai: str  # IPTC's term for how AI took part, "" for not at all
    problems: tuple[str, ...] = ()  # C2PA's codes for what did not hold when the next turn began, or now


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The credentials in a file."""

    state: State  # valid: the file is as it was signed; trusted: and by one of those whom the reader trusts
    turns: tuple[SignedTurn, ...] = ()  # the newest first
    problems: tuple[str, ...] = ()


def installed() -> bool:
    """Returns whether files can be signed and checked here."""
    return find_spec("c2pa") is not None


def signed(
    blob: bytes,
    mime: str,
    signer: "Signer",
    record: Mapping[str, Any],
    *,
    source: bytes,
    region: Box | Literal["all", "none"],
) -> bytes:
    """Returns the file `blob` with credentials: the source as its parent, what was done, and how AI took part.

    `source` is the file that was edited; its own credentials become the beginning of the history. `region` is the box
    (left, top, right, bottom) of the pixels that the edit may have changed.

    Raises:
        ValueError: the file cannot hold credentials.
    """
    import c2pa

    agent, mime_source = _agent(), _mime(source)
    parent = {"title": "source", "relationship": "parentOf", "label": "source", "format": mime_source}
    edited: dict[str, Any] = {"action": "c2pa.edited", "softwareAgent": agent}
    if region != "none":
        edited["digitalSourceType"] = WHOLE if region == "all" else PART
    if not isinstance(region, str):
        edited["changes"] = [{"region": [_rectangle(region)]}]
    actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}, edited]
    manifest = {
        "claim_generator_info": [agent],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": EDIT, "data": dict(record)},
        ],
    }
    builder = c2pa.Builder(manifest, context=_context(signer))
    try:
        builder.add_ingredient(parent, mime_source, io.BytesIO(source))
    except c2pa.C2paError:  # a file that shows a picture, and in which C2PA finds no place for a manifest
        builder = c2pa.Builder(manifest | {"ingredients": [parent]}, context=_context(signer))
    out = io.BytesIO()
    try:
        builder.sign(mime, io.BytesIO(blob), out)
    except c2pa.C2paError as error:
        raise ValueError(f"a file of {mime} cannot be signed ({error})") from None
    return out.getvalue()


def check_signer(signer: "Signer") -> None:
    """Refuses a signer whose signatures would not hold: expired, not for signing, or not of its root.

    Raises:
        ValueError: it names C2PA's codes of what is wrong.
    """
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    blob = file.getvalue()
    try:
        problems = read(signed(blob, "image/png", signer, {}, source=blob, region="none"), "image/png").problems
    except ValueError as error:
        problems = (str(error),)
    if problems:
        raise ValueError(f"signer {signer.name}: its signature would not hold ({', '.join(problems)})")


def read(blob: bytes, mime: str, trust: str = "") -> Credentials:
    """Reads and checks the credentials in a file; `trust` are certificates in PEM of whom the reader trusts.

    Whatever is wrong with the file is a problem in what is returned, and never raised.
    """
    import c2pa

    try:
        reader = c2pa.Reader.try_create(mime, io.BytesIO(blob), context=_reading(trust))
        whole = None if reader is None else json.loads(reader.json())
    except (c2pa.C2paError, ValueError) as error:
        return Credentials(state="invalid", problems=(str(error).split("\n")[0],))
    if whole is None:
        return Credentials(state="none")
    return _credentials(whole)


def _credentials(whole: dict) -> Credentials:
    """Returns what a reader found. A signature over broken history holds, so each turn's own problems count."""
    state = str(whole.get("validation_state", "Invalid")).lower()
    manifests, label, turns = whole.get("manifests", {}), whole.get("active_manifest"), []
    found = _failures(whole.get("validation_results", {}).get("activeManifest", {}))
    problems, now = [*found], found
    while label in manifests and len(turns) < MOST_TURNS:
        manifest = manifests[label]
        turns.append(_turn(manifest, tuple(now)))
        parents = [one for one in manifest.get("ingredients", []) if one.get("relationship") == "parentOf"]
        parent = parents[0] if parents else {}
        now = _failures(parent.get("validation_results", {}).get("activeManifest", {}))
        problems += now
        label = parent.get("active_manifest")
    for delta in whole.get("validation_results", {}).get("ingredientDeltas", []):
        problems += _failures(delta.get("validationDeltas", {}))
    if state not in ("valid", "trusted") or problems:
        state = "invalid"
    return Credentials(state=state, turns=tuple(turns), problems=tuple(dict.fromkeys(problems)))  # type: ignore[arg-type]


def _turn(manifest: dict, problems: tuple[str, ...]) -> SignedTurn:
    said = {one.get("label"): one.get("data") for one in manifest.get("assertions", [])}
    actions = said.get("c2pa.actions.v2") or {}
    kinds = [action.get("digitalSourceType") for action in actions.get("actions", [])]
    record, info = said.get(EDIT), manifest.get("signature_info") or {}
    return SignedTurn(
        record=record if isinstance(record, dict) else {},
        signer=str(info.get("common_name") or info.get("issuer") or ""),
        ai=str(next((kind for kind in kinds if kind), "")).removeprefix(MEDIA),
        problems=problems,
    )


def _failures(results: Mapping) -> list[str]:
    codes = [str(one.get("code")) for one in results.get("failure", [])]
    return [code for code in codes if code not in NO_LIES]


def _rectangle(box: Box) -> dict:
    left, top, right, bottom = box
    shape = {"type": "rectangle", "unit": "pixel", "origin": {"x": left, "y": top}}
    return {"type": "spatial", "shape": shape | {"width": right - left, "height": bottom - top}}


@cache
def _agent() -> dict[str, str]:
    """Returns what names this program; a version is read from a file, which takes as long as a signature."""
    return {"name": "v4e", "version": version("v4e")}


def _mime(source: bytes) -> str:
    try:
        return mime_of(source)
    except OSError:  # also of a picture that ends too soon
        return ANY


@cache
def _context(signer: "Signer") -> Any:
    import c2pa

    info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain_pem, signer.key_pem, None)
    try:
        return c2pa.Context(_settings(""), c2pa.Signer.from_info(info))
    except c2pa.C2paError as error:
        raise ValueError(f"signer {signer.name}: C2PA does not take it ({error})") from None


@cache
def _reading(trust: str) -> Any:
    import c2pa

    try:
        return c2pa.Context(_settings(trust))
    except c2pa.C2paError as error:
        raise ValueError(f"trust: expected certificates in PEM ({error})") from None


def _settings(trust: str) -> Any:
    import c2pa

    quiet = {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False}
    plain = {"version": 1, "builder": {"thumbnail": {"enabled": False}}, "verify": quiet}
    return c2pa.Settings.from_dict(plain | ({"trust": {"user_anchors": trust}} if trust else {}))
