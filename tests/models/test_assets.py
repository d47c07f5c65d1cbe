"""The committed tiny Wan family: what is loaded, how large it is, what it can and cannot do."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer

from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import score
from v4e.tiny.world import Record, make_triplets

ASSETS = Path(__file__).resolve().parent.parent.parent / "v4e" / "assets"
I2V, FLF2V = ASSETS / "tiny-wan-i2v", ASSETS / "tiny-wan-flf2v"
TOKENIZER = AutoTokenizer.from_pretrained(I2V / "tokenizer")


@pytest.mark.parametrize("folder", [I2V, FLF2V], ids=lambda folder: folder.name)
def test_the_stock_pipeline_loads_every_weight(folder):
    pipe = WanImageToVideoPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    assert (pipe.transformer.config.pos_embed_seq_len is not None) == (folder == FLF2V)
    for part in ("transformer", "vae", "text_encoder", "image_encoder"):
        [file] = (folder / part).glob("*.safetensors")
        stored, loaded = load_file(file), getattr(pipe, part).state_dict()
        assert loaded.keys() - stored.keys() <= {"encoder.embed_tokens.weight"}  # tied to "shared.weight"
        assert all(loaded[name].equal(tensor.float()) for name, tensor in stored.items())


def test_weights_are_small():
    """Of each family, the first one's with its student."""
    second = {path: path.stat().st_size for path in (ASSETS / "world2").rglob("*.safetensors")}
    first = {path: path.stat().st_size for path in ASSETS.rglob("*.safetensors") if path not in second}
    assert (len(first), len(second)) == (9, 8) and max(sum(first.values()), sum(second.values())) <= 20_000_000


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "image_encoder", "image_processor"])
def test_teacher_and_student_share_their_encoders(part):
    theirs, ours = ({p.name: p.read_bytes() for p in (folder / part).iterdir()} for folder in (FLF2V, I2V))
    assert theirs == ours and ours


@pytest.mark.slow
def test_every_text_survives_the_tokenizer():
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]  # all but surrogates
    characters = Random(0).sample(characters, 100_000)
    assert TOKENIZER.unk_token is None
    for at in range(0, len(characters), 101):
        text = "".join(characters[at : at + 101])
        *ids, end = TOKENIZER(text).input_ids
        assert end == TOKENIZER.eos_token_id
        assert TOKENIZER.decode(ids) in (text, f" {text}")


def test_known_words_are_tokens_and_unknown_ones_bytes():
    assert len(TOKENIZER.tokenize("The red circle gradually turns blue")) == 6
    assert len(TOKENIZER.tokenize("鸢尾")) >= len("鸢尾".encode())


def succeeded(editor: Editor, records: list[Record], texts: list[str]) -> float:
    sources = [Image.fromarray(record.source) for record in records]
    edits = editor.edit(sources, texts, list(range(len(records))), EditSettings(height=32, width=32, steps=8))
    clips = zip(records, (edit.clip[-1] for edit in edits), strict=True)
    return sum(score(r.task, r.source, r.edit, np.asarray(image), 20.0).success for r, image in clips) / len(records)


@pytest.mark.slow
def test_the_base_performs_evolution_captions_and_raw_instructions_badly():
    """What is left to distil: the teacher can be told by captions, the student is to be told by instructions."""
    editor, records = Editor.load(str(I2V)), list(make_triplets("val", 2))
    told, asked = (
        succeeded(editor, records, [getattr(r, text) for r in records]) for text in ("caption", "instruction")
    )
    assert told >= 0.4
    assert asked <= told / 2
