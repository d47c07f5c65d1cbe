"""The command ``v4e precompute``, for ``ray job submit``: see pipelines/stages/precompute.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("precompute")
