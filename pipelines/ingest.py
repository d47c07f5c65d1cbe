"""The command ``v4e ingest``, for ``ray job submit``: see pipelines/stages/ingest.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("ingest")
