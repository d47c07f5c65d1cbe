"""The command ``v4e caption``, for ``ray job submit``: see pipelines/stages/caption.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("caption")
