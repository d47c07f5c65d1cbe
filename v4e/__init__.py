import logging

# diffusers imports CLIPImageProcessor, on which transformers prints that it wants torchvision: nothing here needs it.
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)
