"""Content credentials of results: whether a request wants them, by whom they are signed, and what they say."""

from functools import cache
from pathlib import Path

from serve.order import Done, Order
from serve.settings import Settings
from serve.work import EditWork
from v4e.config.checks import require
from v4e.editing.record import EditRecord, changed_box, told_of
from v4e.files import credentials

OWN = "signer.pem"  # in the folder of the state


def check_signing(settings: Settings) -> None:
    """Refuses a signer whose signatures would not hold.

    Raises:
        ValueError: one line that names the setting.
    """
    require(credentials.installed(), f"settings.sign: {credentials.NEEDED}")
    try:
        credentials.check_signer(_signer(settings.signer, settings.state))
    except (OSError, ValueError) as error:
        raise ValueError(f"settings.signer: {error}") from None


def signed(files: dict[str, bytes], work: EditWork, order: Order, done: Done, settings: Settings) -> dict[str, bytes]:
    """Returns `files`, the picture and the clip among them with credentials."""
    fields = work.fields
    mimes = {"image": f"image/{fields.output_format}", "clip": _clip_mime(fields.clip_format)}
    record = _record(work, order, done, settings).plain()
    more = {"source": work.original, "region": changed_box(done.image, work.source, done.region)}
    signer = _signer(settings.signer, settings.state)
    return {
        name: credentials.signed(blob, mimes[name], signer, record, **more) if name in mimes else blob
        for name, blob in files.items()
    }


def _record(work: EditWork, order: Order, done: Done, settings: Settings) -> EditRecord:
    maker = done.maker
    assert maker is not None
    return EditRecord(
        **told_of(order.image, order.mask, order.instruction, order.negative, work.sign == "text"),
        seed=order.seed,
        settings=order.settings,
        crop=order.crop,
        model=settings.model_name,
        weights_sha256=maker.weights_sha256,
        lora_sha256=maker.lora_sha256,
        how=done.how,
        dtype=settings.dtype,
        attention=settings.attention,
        threads=settings.threads,
        made_on=maker.on,
        form=work.fields.output_format,
        quality=work.fields.output_compression,
    )


def _clip_mime(form: str) -> str:
    return "video/mp4" if form == "mp4" else f"image/{form}"


@cache
def _signer(path: str, state: str):
    from v4e.files.signers import open_signer, own_signer

    return open_signer(path) if path else own_signer(str(Path(state) / OWN))
