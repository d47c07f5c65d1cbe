"""The command ``v4e report``, for ``ray job submit``: see pipelines/stages/report.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("report")
