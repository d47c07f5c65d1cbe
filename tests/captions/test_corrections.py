"""What a person corrects in a spreadsheet comes back, and nothing in the spreadsheet runs."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4e.captions.corrections import Correction, person_row, read_csv, write_csv


def row(identity: str, instruction: str = "make it night", **changed) -> dict:
    told = {"task": "tone", "rule_task": "tone", "llm_task": "style", "origin": "template", "checks": ["drift", "kept"]}
    return {"id": identity, "instruction": instruction, "caption": "The image ...", **told, **changed}


def fill_in(path: Path, delimiter: str = ",", encoding: str = "utf-8-sig", **cells: str) -> None:
    """As a spreadsheet saves it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for one in rows:
        one.update(cells)
    with path.open("w", encoding=encoding, newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        sheet.writeheader()
        sheet.writerows(rows)


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), (",", "utf-8")])
def test_corrections_come_back_from_what_spreadsheets_save(tmp_path: Path, delimiter: str, encoding: str):
    path = tmp_path / "audit.csv"
    write_csv(str(path), [row("a/1"), row("a/2", "say “é”, 'x'\nor \"y\"")])
    assert read_csv(str(path)) == {}  # nothing is filled in
    fill_in(path, delimiter, encoding, correct_task="style", correct_caption=" Más, while all stays. ")
    wanted = Correction(task="style", caption="Más, while all stays.")
    assert read_csv(str(path)) == {"a/1": wanted, "a/2": wanted}


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20), unique=True, min_size=1)
)
def test_no_cell_is_a_formula_and_ids_come_back(tmp_path_factory, identities: list[str]):
    path = tmp_path_factory.mktemp("csv") / "audit.csv"
    write_csv(str(path), [row(f"={one}", f"=cmd|{one}") for one in identities] + [row(f"'{one}") for one in identities])
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and cell]
    fill_in(path, correct_task="style")
    assert set(read_csv(str(path))) == {f"={one}" for one in identities} | {f"'{one}" for one in identities}


def test_bad_files_are_refused(tmp_path: Path):
    path = tmp_path / "audit.csv"
    with pytest.raises(FileNotFoundError, match=r"caption\.corrections"):
        read_csv(str(path))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_csv(str(tmp_path))
    with pytest.raises(ValueError, match=r"caption\.corrections=s3x://a cannot be opened"):
        read_csv("s3x://a")
    path.write_text('id,correct_task,correct_caption\n1,tone,"half a cell\n')
    with pytest.raises(ValueError, match=r"no whole CSV \(unexpected end of data\)"):
        read_csv(str(path))
    path.write_text("id,task\n1,tone\n")
    with pytest.raises(ValueError, match="no column 'correct_task'"):
        read_csv(str(path))
    path.write_bytes("id,correct_task,correct_caption\n1,tone,\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_csv(str(path))
    path.write_text("id,correct_task,correct_caption\n1,colour,\n")
    with pytest.raises(ValueError, match=r"line 2: correct_task is 'colour', expected one of addition"):
        read_csv(str(path))
    path.write_text("id,correct_task,correct_caption\n1,tone,\n1,style,\n")
    with pytest.raises(ValueError, match=r"line 3: 1 is corrected twice"):
        read_csv(str(path))


def test_a_persons_caption_is_checked_too_and_kept_as_it_is():
    caption = "The car gradually turns blue, while all else stays."
    made = person_row("a", "make the car blue", "", Correction(task="", caption=caption))
    assert (made["caption"], made["task"], made["task_source"], made["origin"]) == (caption, "color", "rules", "person")
    assert made["checks"] == [] and made["agree"]
    loose = person_row("a", "make the car blue", "color", Correction(task="material", caption="A blue car."))
    assert (loose["task"], loose["task_source"], loose["agree"]) == ("material", "person", False)
    assert "gradual" in loose["checks"] and "stays" in loose["checks"]
