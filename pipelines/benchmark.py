"""The command ``v4e benchmark``, for ``ray job submit``: see pipelines/stages/benchmark.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("benchmark")
