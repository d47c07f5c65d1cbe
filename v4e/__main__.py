"""``python -m v4e edit photo.jpg "make the car blue" -o out.png``: edits a picture on this machine."""

import sys

from v4e.editing.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
