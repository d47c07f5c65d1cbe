"""The command ``v4e plan``, for ``ray job submit``: see pipelines/stages/plan.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("plan")
