"""The command ``v4e rollout``, for ``ray job submit``: see pipelines/stages/rollout.py."""

from pipelines.parts.command import main

if __name__ == "__main__":
    main("rollout")
