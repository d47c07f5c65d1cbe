"""The command ``v4e validation``, for ``ray job submit``: see pipelines/stages/validation.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("validation")
