"""The public face of v4e: what it offers, and what importing it does not do."""

import subprocess
import sys

import pytest

import v4e


def test_every_public_name_is_there():
    assert set(v4e.__all__) == set(v4e.HOMES)
    for name in v4e.__all__:
        assert getattr(v4e, name).__name__ == name
    with pytest.raises(AttributeError, match="Editr"):
        _ = v4e.Editr


@pytest.mark.parametrize(
    "code",
    [
        "import sys, v4e; print('torch' in sys.modules)",
        pytest.param("from v4e import Editor; print(False)", marks=pytest.mark.long),
    ],
)
def test_importing_v4e_imports_no_torch_and_importing_the_editor_logs_nothing(code):
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "False\n", "")
