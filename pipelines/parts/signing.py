"""The content credentials of an edit that was made on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from v4e.config.commands import EditOptions
from v4e.editing.settings import EditSettings
from v4e.files import credentials
from v4e.files.results import Form
from v4e.weights.digest import adapter_sha256, weights_sha256
from v4e.weights.load import any_device

if TYPE_CHECKING:
    from v4e.editing.finish import Edit as Made

OWN = "runs/signer.pem"


def require_signing() -> None:
    """Refuses to sign where the package is missing.

    Raises:
        ValueError: how to get it.
    """
    if not credentials.installed():
        raise ValueError(credentials.NEEDED)


def signed_edit(
    blob: bytes,
    options: EditOptions,
    form: Form,
    image: Image.Image,
    mask: Image.Image | None,
    made: "Made",
    settings: EditSettings,
    seed: int,
) -> bytes:
    """Returns the file of an edit with credentials that say how `options` made it of `image`.

    Raises:
        ValueError: the signer cannot sign.
    """
    from v4e.editing.record import EditRecord, changed_box, made_on, told_of
    from v4e.files.signers import open_signer, own_signer

    signer = open_signer(options.signer) if options.signer else own_signer(OWN)
    credentials.check_signer(signer)
    record = EditRecord(
        **told_of(image, mask, options.instruction, options.negative, options.sign == "text"),
        seed=seed,
        settings=settings,
        crop=options.crop,
        model=Path(options.model).name or "v4e",
        weights_sha256=weights_sha256(options.model, options.gguf),
        lora_sha256=adapter_sha256(options.lora) if options.lora else None,
        how=made.how,
        dtype=options.dtype,
        attention="native",
        threads=torch.get_num_threads(),
        made_on=made_on(any_device()),
        form=form,
        quality=100,
    )
    return credentials.signed(
        blob,
        f"image/{form}",
        signer,
        record.plain(),
        source=Path(options.image).read_bytes(),
        region=changed_box(made.image, image, made.region),
    )
