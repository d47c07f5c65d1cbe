"""Names that diffusers imports and v4e does not use."""


def _wrapped_flash_attn_backward(*_arguments: object, **_options: object) -> None:
    raise NotImplementedError


def _wrapped_flash_attn_forward(*_arguments: object, **_options: object) -> None:
    raise NotImplementedError
