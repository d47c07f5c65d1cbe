"""The command ``v4e efficiency``, for ``ray job submit``: see pipelines/stages/efficiency.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("efficiency")
