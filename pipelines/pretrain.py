"""The command ``v4e pretrain``, for ``ray job submit``: see pipelines/stages/pretrain.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("pretrain")
