"""The command ``v4e train``, for ``ray job submit``: see pipelines/stages/train.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("train")
