"""The command ``v4e evaluate``, for ``ray job submit``: see pipelines/stages/evaluate.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("evaluate")
