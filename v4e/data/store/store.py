"""The feature store: all that is frozen, computed once. It has one safetensors file per sample, on any filesystem.

``manifest.json`` holds the settings that made it. A recipe with other settings is refused, and the error names them.
Shape letters: B batch, C latent channels, F latent frames, H W latent height and width.
"""

import io
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from urllib.parse import quote, unquote

from fsspec.core import url_to_fs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from v4e.config import Config, differing
from v4e.data.store.fingerprint import ADDED, ENCODERS, SCHEMA, rollout_settings, store_settings
from v4e.data.store.header import Header, Texts, read_header
from v4e.data.store.index import read_index, write_index
from v4e.data.store.paths import rollouts_uri, store_uri
from v4e.files.uri import exists, join, open_uri, read_json, remove, write_atomic, write_json_atomic
from v4e.types import Sample

SUFFIX = ".safetensors"
TENSORS = tuple(field.name for field in fields(Sample) if field.name not in ("id", "task"))
READERS = 16  # files whose headers are read at a time
StoreSettings = Mapping[str, object]


class Store:
    """Samples by id, made with one set of settings."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.samples = join(uri, "samples")
        self.index = join(uri, "index.parquet")

    @classmethod
    def open(cls, config: Config) -> "Store":
        """Opens the store of `config` for reading.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it was made with other settings; the message names them and the remedies.
        """
        uri = store_uri(config)
        if not exists(join(uri, "manifest.json")):
            raise FileNotFoundError(f"no store at {uri}: run pipelines/precompute.py first")
        check_manifest(uri, store_settings(config))
        return cls(uri)

    @classmethod
    def create(cls, config: Config) -> "Store":
        """Opens the store of `config` for writing: made if there is none, emptied with ``run.overwrite``.

        Raises:
            ValueError: it was made with other settings, and ``run.overwrite`` is not set.
        """
        uri = store_uri(config)
        manifest = join(uri, "manifest.json")
        if exists(manifest) and not config.run.overwrite:
            return cls.open(config)
        settings = store_settings(config)
        # Samples without a manifest are of unknown origin. The old manifest goes last: until then it refuses them.
        for part in ("samples", "index.parquet", "rollouts", "manifest.json"):
            remove(join(uri, part))
        write_json_atomic(manifest, {"schema": SCHEMA, "settings": settings})
        return cls(uri)

    def ids(self) -> list[str]:
        """Returns the ids of all samples, sorted."""
        return stored_ids(self.samples)

    def read(self, sample_id: str) -> Sample:
        """Reads one sample.

        Raises:
            FileNotFoundError: it is not in the store.
            ValueError: its file is damaged.
        """
        data = read_file(self.samples, sample_id, "pipelines/precompute.py")
        tensors = parse(data, TENSORS, file_uri(self.samples, sample_id))
        return Sample(id=sample_id, task=read_header(io.BytesIO(data)).texts.task, **tensors)

    def write(self, sample: Sample, *, instruction: str = "", caption: str = "", corpus: str = "") -> None:
        """Writes one sample, complete or not at all, with the texts from which it was encoded.

        Rollouts of an earlier version of it are removed first.
        """
        name = quote(sample.id, safe="") + SUFFIX
        fs, path = url_to_fs(join(self.uri, "rollouts"))
        if exists(file_uri(self.samples, sample.id)) and fs.exists(path):
            for folder in fs.ls(path, detail=False):
                remove(fs.unstrip_protocol(f"{folder}/{name}"))
        texts = {"instruction": instruction, "caption": caption, "task": sample.task}
        if corpus:
            texts["corpus"] = corpus
        # one metadata key: safetensors does not keep the order of several
        data = save(
            {name: getattr(sample, name).detach().cpu().contiguous() for name in TENSORS},
            metadata={"texts": json.dumps(texts, sort_keys=True)},
        )
        write_atomic(join(self.samples, name), data)

    def headers(self) -> dict[str, Header]:
        """Returns the header of each sample by id, from the index, or from the sample's file if the index lacks it."""
        indexed, ids = read_index(self.index), self.ids()

        def read(sample_id: str) -> Header:
            with open_uri(file_uri(self.samples, sample_id)) as file:
                return read_header(file)

        new = [key for key in ids if key not in indexed]
        with ThreadPoolExecutor(READERS) as pool:
            indexed |= zip(new, pool.map(read, new), strict=True)
        return {key: indexed[key] for key in ids}

    def texts(self) -> dict[str, Texts]:
        """Returns the texts of each sample by id."""
        return {key: header.texts for key, header in self.headers().items()}

    def write_index(self) -> None:
        """Brings the index up to date. It does not see that a sample was written again: drop the index before."""
        headers = self.headers()
        if headers.keys() != read_index(self.index).keys():
            write_index(self.index, headers)

    def drop_index(self) -> None:
        """Removes the index before samples are written. Reading without it is slower, and never stale."""
        remove(self.index)


class RolloutStore:
    """The teacher's clip latents by sample id, of one teacher with one set of settings: a folder of the store."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @classmethod
    def open(cls, config: Config) -> "RolloutStore":
        """Opens the rollouts of `config`'s teacher; empty if there are none yet."""
        uri = rollouts_uri(config)
        if not exists(join(uri, "manifest.json")):
            manifest = {"schema": SCHEMA, "settings": rollout_settings(config)}
            write_json_atomic(join(uri, "manifest.json"), manifest)
        return cls(uri)

    def ids(self) -> list[str]:
        """Returns the ids of all samples with a rollout, sorted."""
        return stored_ids(self.uri)

    def read(self, sample_id: str) -> Tensor:
        """Reads ``z_clip_CFHW``, float32.

        Raises:
            FileNotFoundError: the sample has no rollout.
            ValueError: its file is damaged.
        """
        data = read_file(self.uri, sample_id, "pipelines/rollout.py")
        return parse(data, ("z_clip_CFHW",), file_uri(self.uri, sample_id))["z_clip_CFHW"]

    def write(self, sample_id: str, z_clip_CFHW: Tensor) -> None:
        """Writes one rollout, complete or not at all."""
        z_clip_CFHW = z_clip_CFHW.detach().cpu().contiguous()
        write_atomic(file_uri(self.uri, sample_id), save({"z_clip_CFHW": z_clip_CFHW}))


def check_manifest(uri: str, settings: StoreSettings) -> None:
    """Refuses the store at `uri` if it was made with other settings.

    Raises:
        ValueError: names every difference and the remedies.
    """
    manifest = read_json(join(uri, "manifest.json"))
    if manifest.get("schema") != SCHEMA:
        raise ValueError(
            f"store {uri} has layout {manifest.get('schema')}, this version writes {SCHEMA}: "
            "run pipelines/precompute.py run.overwrite=true"
        )
    made = ADDED | manifest["settings"]
    other = differing(made, settings)
    if not other:
        return

    def told(values: Mapping[str, object]) -> str:
        return ", ".join(
            f"{key} {str(values.get(key))[:8]}" if key in ENCODERS else f"{key}={values.get(key)}" for key in other
        )

    ways = [f"set {key}={made.get(key)}" for key in other if key not in ENCODERS]
    if any(key in ENCODERS for key in other):
        ways.append("set models.student to a pipeline with its encoders")
    raise ValueError(
        f"store {uri} was made with {told(made)}, this recipe has {told(settings)}: "
        f"run pipelines/precompute.py run.overwrite=true, or {' and '.join(ways)}"
    )


def file_uri(folder: str, sample_id: str) -> str:
    """Returns the URI of one sample's file; an id may hold any characters and cannot leave the folder."""
    return join(folder, quote(sample_id, safe="") + SUFFIX)


def stored_ids(folder: str) -> list[str]:
    """Returns the ids of the samples that have a file in `folder`, sorted."""
    fs, path = url_to_fs(folder)
    if not fs.exists(path):
        return []
    names = (file.rsplit("/", 1)[-1] for file in fs.ls(path, detail=False, refresh=True))
    return sorted(unquote(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX))


def read_file(folder: str, sample_id: str, maker: str) -> bytes:
    """Reads the bytes of one sample's file.

    Raises:
        FileNotFoundError: there is no such file; the message names the pipeline that makes it.
    """
    try:
        with open_uri(file_uri(folder, sample_id)) as file:
            return file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} has no sample {sample_id!r}: run {maker} with this recipe") from None


def parse(data: bytes, names: Iterable[str], uri: str) -> dict[str, Tensor]:
    """Returns the tensors `names` of a safetensors file.

    Raises:
        ValueError: it is no such file, or lacks one of them.
    """
    try:
        tensors = load(data)
        return {name: tensors[name] for name in names}
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{uri} is damaged ({error}): delete it and run the pipeline that made it again") from error
