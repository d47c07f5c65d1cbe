"""The command ``v4e export``, for ``ray job submit``: see pipelines/stages/export.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("export")
