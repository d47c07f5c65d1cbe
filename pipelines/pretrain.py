"""The command ``v4e pretrain``: see pipelines/stages/pretrain.py."""

from pipelines.stages.pretrain import main

if __name__ == "__main__":
    main()
