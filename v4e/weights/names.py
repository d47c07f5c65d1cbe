"""Names of Wan's weights in diffusers, in the layout that Wan published first, and in files of LoRAs.

ComfyUI loads a LoRA by the names of the original layout: ``diffusion_model.`` and the layer's, or ``lora_unet_`` and
the layer's with underscores. The latter are what kohya's trainers, musubi-tuner among them, write.
"""

import re

# Ours to theirs, in the order of diffusers' modules. Norms of a block are counted differently.
OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
}
ALONE = {  # parameters of no module of their own
    "condition_embedder.image_embedder.pos_embed": "img_emb.emb_pos",
    "scale_shift_table": "head.modulation",
}
IN_BLOCK = {"norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"}
ATTENTIONS = {"attn1": "self_attn", "attn2": "cross_attn"}
IN_ATTENTION = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
    "add_k_proj": "k_img",
    "add_v_proj": "v_img",
    "norm_added_k": "norm_k_img",
}


def original_name(name: str) -> str:
    """Returns the original's name of the parameter that diffusers calls `name`.

    Raises:
        KeyError: it is none of Wan's.
    """
    if name in ALONE:
        return ALONE[name]
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        module, _, leaf = name.rpartition(".")
        return f"{OUTSIDE[module]}.{leaf}"
    number, rest = block.groups()
    if rest == "scale_shift_table":
        return f"blocks.{number}.modulation"
    module, _, leaf = rest.rpartition(".")
    attention, _, inner = module.partition(".")
    theirs = f"{ATTENTIONS[attention]}.{IN_ATTENTION[inner]}" if attention in ATTENTIONS else IN_BLOCK[module]
    return f"blocks.{number}.{theirs}.{leaf}"


DOTTED = ("", "transformer.", "diffusion_model.", "model.diffusion_model.", "base_model.model.", "pipe.dit.", "unet.")
UNDERSCORED = ("lora_unet_", "lora_transformer_")


def original_layer(layer: str) -> str:
    """Returns the original's name of the layer that diffusers calls `layer`."""
    return original_name(f"{layer}.weight").removesuffix(".weight")


def comfyui_layer(layer: str) -> str:
    """Returns the name by which ComfyUI's LoRAs call a layer of diffusers."""
    return f"diffusion_model.{original_layer(layer)}"


def kohya_layer(layer: str) -> str:
    """Returns the name by which LoRAs of kohya and musubi call a layer of diffusers."""
    return f"lora_unet_{original_layer(layer).replace('.', '_')}"


def aliases(layer: str) -> list[str]:
    """Returns all names by which files of LoRAs may call a layer of diffusers."""
    both = (layer, original_layer(layer))
    found = [f"{prefix}{name}" for prefix in DOTTED for name in both]
    return found + [f"{prefix}{name.replace('.', '_')}" for prefix in UNDERSCORED for name in both]
