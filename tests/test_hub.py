from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmsb.dataset.base import ImageKind
from mmsb.dataset.hub import HubMirror
from mmsb.dataset.mm_safetybench import MMSafetyBench
from mmsb.dataset.parquet import _pictures
from mmsb.errors import ConfigError, DataError, MissingPicture
from mmsb.scenario import official_scenarios
from tests.conftest import Run
from tests.small_hub import at_the_hub, small_hub

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
IDS = ["0", "2", "10", "11", "30"]  # with gaps, and not in the order of the rows
KINDS: tuple[ImageKind, ...] = ("SD", "TYPO", "SD_TYPO")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
QUESTION_OF = {
    "Text_only": "Changed Question",
    "SD": "Rephrased Question(SD)",
    "TYPO": "Rephrased Question",
    "SD_TYPO": "Rephrased Question",
}


def record(key: str) -> dict[str, str]:
    fields = (
        "Question",
        "Changed Question",
        "Key Phrase",
        "Phrase Type",
        "Rephrased Question",
        "Rephrased Question(SD)",
    )
    return {field: f"{field} of {key}" for field in fields}


def jpeg(key: str, kind: ImageKind) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (8 * int(key), 80 * KINDS.index(kind), 7)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_authors(root: Path) -> MMSafetyBench:
    (root / "processed_questions").mkdir(parents=True)
    (root / f"processed_questions/{FRAUD.id}.json").write_text(json.dumps({key: record(key) for key in IDS}))
    (root / "TinyVersion_ID_List.json").write_text(json.dumps([{"Scenario": FRAUD.id, "Sampled_ID_List": [2, 30]}]))
    for kind in KINDS:
        (root / "imgs" / FRAUD.id / kind).mkdir(parents=True)
        for key in IDS:
            (root / "imgs" / FRAUD.id / kind / f"{key}.jpg").write_bytes(jpeg(key, kind))
    return MMSafetyBench(root=root)


def write_split(root: Path, split: str, keys: list[str], lost: str | None = None) -> None:
    file = root / "data" / "Fraud" / f"{split}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = next((kind for kind in KINDS if kind == split), None)
    cells = [{"bytes": jpeg(key, kind), "path": None} if kind and key != lost else None for key in keys]
    columns = {
        "id": pa.array(keys, pa.string()),
        "question": pa.array([record(key)[QUESTION_OF[split]] for key in keys], pa.string()),
        "image": pa.array(cells, IMAGE),
    }
    pq.write_table(pa.table(columns), file, row_group_size=2)


def write_mirror(root: Path) -> HubMirror:
    for split in QUESTION_OF:
        write_split(root, split, sorted(IDS))
    return HubMirror(root=root)


def test_the_mirror_gives_the_records_of_the_authors_layout(tmp_path: Path) -> None:
    authors, mirror = write_authors(tmp_path / "authors"), write_mirror(tmp_path / "mirror")
    pairs = list(zip(authors.questions(FRAUD), mirror.questions(FRAUD), strict=True))
    assert [theirs.id for theirs, _ in pairs] == IDS
    for theirs, ours in pairs:
        assert (ours.id, ours.scenario) == (theirs.id, theirs.scenario)
        assert all(ours.texts[role] == theirs.texts[role] for role in ("changed", "rephrased", "rephrased_sd"))
        assert (ours.plain, ours.key_phrase) == (theirs.texts["changed"], "")


def test_with_the_authors_question_files_the_records_are_equal(tmp_path: Path) -> None:
    authors = write_authors(tmp_path / "authors")
    write_mirror(tmp_path / "mirror")
    mirror = HubMirror(root=tmp_path / "mirror", question_files=tmp_path / "authors")
    assert list(mirror.questions(FRAUD)) == list(authors.questions(FRAUD))
    tiny = HubMirror(root=tmp_path / "mirror", question_files=tmp_path / "authors", subset="tiny")
    assert [question.id for question in tiny.questions(FRAUD)] == ["2", "30"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_the_same_id(tmp_path: Path, kind: ImageKind) -> None:
    authors, mirror = write_authors(tmp_path / "authors"), write_mirror(tmp_path / "mirror")
    for question in mirror.questions(FRAUD):
        theirs, ours = authors.picture(question, kind), mirror.picture(question, kind)
        assert theirs is not None
        assert ours is not None
        assert ours.identity == theirs.identity
        assert ours.encoded() == theirs.encoded()
        assert ours.load().tobytes() == theirs.load().tobytes()


def test_an_id_in_two_rows_is_told(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path)
    write_split(tmp_path, "SD", [*sorted(IDS), "2"])
    with pytest.raises(DataError, match=r"SD\.parquet has an id in two rows"):
        list(mirror.questions(FRAUD))


def test_few_row_groups_of_pictures_stay_in_memory(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path)
    pictures = [mirror.picture(question, kind) for kind in KINDS for question in mirror.questions(FRAUD)]
    assert len({picture.identity for picture in pictures if picture}) == 15
    assert _pictures.cache_info().currsize <= 4


def test_the_limit_takes_the_lowest_ids(tmp_path: Path) -> None:
    write_mirror(tmp_path)
    assert [question.id for question in HubMirror(root=tmp_path, limit=3).questions(FRAUD)] == ["0", "2", "10"]


def test_a_lost_picture_is_reported_not_drawn_from_an_empty_phrase(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path / "mirror")
    write_split(tmp_path / "mirror", "TYPO", IDS, lost="10")
    questions = {question.id: question for question in mirror.questions(FRAUD)}
    assert mirror.picture(questions["11"], "TYPO")
    with pytest.raises(MissingPicture, match=r"id 10 in .*TYPO\.parquet"):
        mirror.picture(questions["10"], "TYPO")
    write_authors(tmp_path / "authors")
    with_phrases = HubMirror(root=tmp_path / "mirror", question_files=tmp_path / "authors")
    phrased = {question.id: question for question in with_phrases.questions(FRAUD)}
    assert with_phrases.picture(phrased["10"], "TYPO") is None  # the image mode draws it


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path)
    write_split(tmp_path, "SD", IDS[1:])
    with pytest.raises(DataError, match=r"SD\.parquet has no question for id '0'"):
        list(mirror.questions(FRAUD))
    (tmp_path / "data/Fraud/SD.parquet").write_bytes(b"version https://git-lfs")
    with pytest.raises(DataError, match=r"SD\.parquet is not a readable parquet file"):
        list(mirror.questions(FRAUD))
    (tmp_path / "data/Fraud/SD.parquet").unlink()
    with pytest.raises(DataError, match=r"has no data/Fraud/SD\.parquet\nWhere there is a network: hf download"):
        list(mirror.questions(FRAUD))


def test_the_tiny_subset_needs_the_authors_list(tmp_path: Path) -> None:
    write_mirror(tmp_path)
    with pytest.raises(ConfigError, match="tiny needs the authors' list"):
        list(HubMirror(root=tmp_path, subset="tiny").questions(FRAUD))


def test_without_a_network_the_command_says_how_to_place_the_files(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("dataset=mm_safetybench_hf", "scenario=fraud", "tracker=none", HF_HOME=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "data/Fraud/Text_only.parquet of PKU-Alignment/MM-SafetyBench cannot be had from the hub" in done.stderr
    assert "hf download PKU-Alignment/MM-SafetyBench --repo-type dataset" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_files_are_of_the_commit_that_the_branch_named_first(tmp_path: Path) -> None:
    write_mirror(tmp_path / "first")
    for split in QUESTION_OF:
        write_split(tmp_path / "second", split, ["0"])  # what the branch names a moment later
    hub = ["dataset=mm_safetybench_hf", "scenario=fraud"]
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with small_hub(tmp_path / "first", tmp_path / "second") as (url, commit):
        fetch, wrong = at_the_hub(
            tmp_path,
            ("mmsb.create", "root=data", "steps=[fetch,card]", *hub),
            ("mmsb.create", "root=data", "steps=[fetch]", *hub, "dataset.revision=v9"),
            **cache,
            HF_ENDPOINT=url,
            HF_HUB_OFFLINE="0",
        )
    assert f"15 pictures from mm_safetybench_hf@{commit}" in fetch[1], fetch[1]
    assert f"mm_safetybench_hf@{commit}" in (tmp_path / "data/README.md").read_text()
    assert wrong[0] == 1
    assert "cannot be had from the hub" in wrong[1]
    pictures = sorted((tmp_path / "data/imgs").glob("*/*/*.jpg"))
    assert [path.read_bytes() for path in pictures if path.parent.name == "SD"] == [
        jpeg(path.stem, "SD") for path in pictures if path.parent.name == "SD"
    ]
    (run,) = at_the_hub(  # which is not there any more: from the cache
        tmp_path, ("mmsb", *hub, f"dataset.revision={commit}", "image_mode=sd", "tracker=none"), **cache
    )
    assert run[0] == 0, run[1]
    (record,) = tmp_path.glob("outputs/runs/*/run.json")
    assert json.loads(record.read_text())["record"]["dataset"]["commit"] == commit
