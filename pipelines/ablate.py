"""The command ``v4e ablate``, for ``ray job submit``: see pipelines/stages/ablate.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("ablate")
