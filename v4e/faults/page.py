"""The page of all errors: ``python -m v4e.faults.page > docs/errors.md``."""

from v4e.faults.codes import CODES

START = """\
# Errors

<!-- Made by python -m v4e.faults.page > docs/errors.md: change v4e/faults/codes.py, not this page. -->

Whatever goes wrong ends in one line on standard error: what it is about, what was expected, what was found, and what
to do. The line ends with a code:

```text
error: run.dir=/data/x: /data is a file, expected a folder: choose another run.dir [V4E-A02]
```

Exit statuses are 2 for a mistake in the arguments, 1 for all other errors, 130 after Ctrl-C and 143 after SIGTERM.
`V4E_DEBUG=1` before a command shows the traceback as well.

| code | meaning, and what to do |
|---|---|
"""


def page() -> str:
    """Returns docs/errors.md."""
    return START + "".join(f"| `V4E-{code}` | {text} |\n" for code, text in CODES.items())


if __name__ == "__main__":
    print(page(), end="")
