"""``v4e data look``: what files hold, the settings that read them, and a page with the first pairs."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.parts.command import main
from tests.support.triplets import encoded
from v4e.config import parse
from v4e.data.ingest.drawing import drawn
from v4e.data.ingest.fixtures import write_all
from v4e.data.look import look
from v4e.data.sources.files import corpus_files
from v4e.data.sources.formats import CORPORA

MADE = drawn("color", "look", (80, 60))


def test_every_published_corpus_is_known_by_its_columns_and_the_settings_read_it(tmp_path):
    write_all(tmp_path, per_task=1, scale=0.1)
    for name in (set(CORPORA) - {"triplets"}) & {place.name for place in tmp_path.iterdir()}:
        for file in look(str(tmp_path / name), {}):
            assert file.settings.startswith(f"ingest.{name}=") and not file.reason, (name, file)
            assert corpus_files(parse(file.settings.split()).ingest)[0][0].rows == file.rows


def test_a_table_of_one_s_own_is_shown_with_a_guess_and_twelve_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"before": encoded(MADE.source), "after": encoded(MADE.edit), "prompt": f"<b>make it {n}</b>"} for n in range(9)
    ]
    rows[1] |= {"after": b"broken", "prompt": None}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a b.parquet")
    (tmp_path / "c.jsonl").write_text(json.dumps({"file_name": "x.png", "text": "y"}))
    (tmp_path / "d.json").write_text("nonsense")
    main("data", ["look", str(tmp_path), "out=page.html"])
    told = " ".join(capsys.readouterr().out.split())
    assert "ingest.columns=source:before,edit:after,instruction:prompt" in told
    assert "set ingest.columns=source:file_name,edit:COLUMN,instruction:text" in told and "it is no JSON" in told
    assert "6 pairs, 1 of them with problems" in told
    page = (tmp_path / "page.html").read_text()
    assert (
        len(re.findall(r'src="data:image/webp', page)) == 11 and "corrupt image" in page and "empty instruction" in page
    )
    assert "<b>make" not in page and "http" not in page.replace("http-equiv", "")
    assert page.count('class="pair"') == 6


def test_what_is_not_there_or_no_role_is_refused(tmp_path, capsys):
    for argv, words in (
        (["look", str(tmp_path)], "nothing at"),
        (["look", "none://x"], "cannot be opened"),
        (["look", str(tmp_path), "columns=sauce:a"], "ingest.columns=sauce:a"),
        (["glance", str(tmp_path)], "look"),
        ([], "WHAT is missing"),
    ):
        with pytest.raises(SystemExit):
            main("data", argv)
        assert words in capsys.readouterr().err
