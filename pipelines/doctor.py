"""The command ``v4e doctor``, for ``ray job submit``: see pipelines/stages/doctor.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("doctor")
