"""The command ``v4e fetch``, for ``ray job submit``: see pipelines/stages/fetch.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("fetch")
