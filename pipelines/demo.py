"""The command ``v4e demo``, for ``ray job submit``: see pipelines/stages/demo.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("demo")
