"""The command ``v4e preservation``, for ``ray job submit``: see pipelines/stages/preservation.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("preservation")
