"""diffusers' own Wan pipeline, which reads and writes LoRA files, without what it logs when it is imported."""

import logging

# The pipeline imports CLIPImageProcessor, for which transformers asks for torchvision: nothing here needs it.
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)

from diffusers import WanImageToVideoPipeline  # noqa: E402

__all__ = ["WanImageToVideoPipeline"]
