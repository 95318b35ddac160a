"""What `predict` and `evaluate` say, and what bad input gets from them."""

import json
import os

import pytest

from lanewise.model import Model
from tests.cli.conftest import failed, make_images, misused, run


def test_a_line_for_each_file(photos, photos_model):
    result = run("predict", photos_model, photos / "light", photos / "dark" / "da-00.png")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [name for name, *_ in lines] == [f"{photos}/light/li-{n:02}.png" for n in range(12)] + [
        f"{photos}/dark/da-00.png"
    ]
    assert [label for _, label, *_ in lines] == ["light"] * 12 + ["dark"]
    assert all(50 <= float(share) <= 100 and unit == "%" for _, _, share, unit in lines)


def test_top_shows_more_classes_most_probable_first(photos, photos_model):
    (line,) = run("predict", photos_model, photos / "dark" / "da-00.png", "--top", 5).stdout.splitlines()
    _, first, share, _, second, other, _ = line.split()
    assert (first, second) == ("dark", "light")
    assert float(share) + float(other) == pytest.approx(100, abs=0.11)


def test_json_has_the_models_probabilities(photos, photos_model):
    told = json.loads(run("predict", photos_model, photos / "dark", "--top", 2, "--json").stdout)
    assert told["classes"] == ["dark", "light"]
    assert told["skipped"] == []
    expected = Model.load(photos_model).predict_proba([photos / "dark"])
    assert [one["probability"] for one in told["predictions"]] == pytest.approx(expected.max(axis=1).tolist())
    assert told["predictions"][0]["top"][1]["class"] == "light"


def test_files_that_cannot_be_used_are_listed_apart(photos, photos_model):
    (photos / "dark" / "broken.png").write_text("hello")
    result = run("predict", photos_model, photos)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 24
    assert "1 file" in result.stderr
    assert "dark/broken.png" in result.stderr
    told = json.loads(run("predict", photos_model, photos, "--json").stdout)
    assert [one["file"] for one in told["skipped"]] == [f"{photos}/dark/broken.png"]
    assert "broken.png" in failed(run("predict", photos_model, photos, "--strict"))
    assert "broken.png" in failed(run("predict", photos_model, photos / "dark" / "broken.png"))


def test_what_is_not_there(photos, photos_model, tmp_path):
    assert '"gone.onnx"' in failed(run("predict", "gone.onnx", photos))
    assert "gone.png" in failed(run("predict", photos_model, tmp_path / "gone.png"))
    (tmp_path / "empty").mkdir()
    assert "no images" in failed(run("predict", photos_model, tmp_path / "empty"))
    assert "'PATHS...'" in misused(run("predict", photos_model))


@pytest.mark.parametrize("length", [0, 10, 400, -1])
def test_a_model_file_cut_short(photos, photos_model, here, length):
    (here / "cut.onnx").write_bytes(photos_model.read_bytes()[:length])
    assert '"cut.onnx"' in failed(run("predict", "cut.onnx", photos))
    assert '"cut.onnx"' in failed(run("inspect", "cut.onnx"))


def test_evaluate_says_all_there_is(digits_model):
    path, record = digits_model
    shown = run("evaluate", path, "digits").stdout
    assert "digits: 359 test images" in shown
    assert f"Test accuracy       {100 * record['accuracy']:.1f} %  ({record['correct']} of 359; 95 % interval " in shown
    for text in ("precision", "recall", "F1", "Confusion matrix", "rows are true classes", "number "):
        assert text in shown
    nines = next(line for line in shown.splitlines() if line.startswith("9 "))
    assert nines.split()[1] == "36"


def test_evaluate_agrees_with_train(digits_model):
    path, record = digits_model
    told = json.loads(run("evaluate", path, "digits", "--json").stdout)
    for key in ("accuracy", "interval", "count", "split", "per_class", "confusion", "mistakes", "network", "classes"):
        assert told[key] == record[key]


def test_evaluate_a_part(digits_model):
    path, _ = digits_model
    told = json.loads(run("evaluate", path, "digits", "--split", "train", "--json").stdout)
    assert (told["split"], told["count"]) == ("train", 1438)
    assert any("training images" in note for note in told["notes"])
    assert "no validation images" in failed_after_start(run("evaluate", path, "digits", "--split", "validation"))


def failed_after_start(result):
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_evaluate_only_what_matches(photos, photos_model):
    told = json.loads(run("evaluate", photos_model, photos, "--split", "all", "--only", "da-*", "--json").stdout)
    assert (told["split"], told["count"], told["only"]) == ("all", 12, "da-*")
    assert told["per_class"][1] == {"class": "light", "count": 0, "precision": None, "recall": None, "f1": None}
    shown = run("evaluate", photos_model, photos, "--split", "all", "--only", "da-*").stdout
    assert "12 images that match da-*" in shown
    assert next(line for line in shown.splitlines() if line.startswith("light ")).split() == ["light", "0", *"---"]


def test_evaluate_the_folder_that_was_learned_from(photos, photos_model, tmp_path):
    """Only what was held out evaluates, unless all shall, or other images are there."""
    shown = run("evaluate", photos_model, photos).stdout
    assert f"{photos}: 2 validation images" in shown
    assert "Validation accuracy" in shown
    assert (
        "The model was trained on 22 of the 24 images and is evaluated on the other 2, "
        "2 held out of training; --split all evaluates it on all."
    ) in " ".join(shown.split())
    counts = {
        split: json.loads(run("evaluate", photos_model, photos, "--split", split, "--json").stdout)["count"]
        for split in ("validation", "train", "all")
    }
    assert counts == {"validation": 2, "train": 22, "all": 24}
    assert "holds no folder 'test'" in failed_after_start(run("evaluate", photos_model, photos, "--split", "test"))
    make_images(tmp_path / "new", {"dark": 2, "light": 1}, seed=9)
    for path in (tmp_path / "new").rglob("*.png"):
        path.rename(photos / path.parent.name / f"new-{path.name}")
    other = json.loads(run("evaluate", photos_model, photos, "--json").stdout)
    assert (other["split"], other["count"]) == ("validation", 5)
    assert [(group["name"], group["count"]) for group in other["groups"]] == [("held out", 2), ("new", 3)]
    assert "2 held out of training and 3 new" in other["notes"][0]
    for path in photos.rglob("new-*.png"):
        path.rename(path.parent.parent.parent / "new" / path.parent.name / path.name)
    new = json.loads(run("evaluate", photos_model, tmp_path / "new", "--json").stdout)
    assert (new["split"], new["count"], new["notes"]) == ("all", 3, [])
    assert "trained on none" in failed_after_start(run("evaluate", photos_model, tmp_path / "new", "--split", "train"))


def test_all_is_no_part_of_a_folder_with_parts(digits_model):
    assert "has parts" in failed_after_start(run("evaluate", digits_model[0], "digits", "--split", "all"))


def test_many_classes_get_the_most_frequent_confusions(digits_model, monkeypatch):
    monkeypatch.setattr("lanewise.cli.evaluating.MOST_MATRIX", 3)
    monkeypatch.setattr("lanewise.cli.evaluating.MOST_ROWS", 4)
    path, record = digits_model
    shown = run("evaluate", path, "digits").stdout
    assert "Confusion matrix" not in shown
    assert "The most frequent of" in shown
    assert "the 4 hardest of 10" in shown
    hardest = min(record["per_class"], key=lambda figures: figures["f1"])["class"]
    rows = shown[shown.index("hardest") :].splitlines()
    assert rows[3].startswith(f"{hardest} ")


def test_no_mistakes_no_tables_of_them(photos, photos_model):
    shown = run("evaluate", photos_model, photos).stdout
    assert "100.0 %" in shown
    assert "Mistakes            none" in shown
    assert "Confusion" not in shown


def test_evaluate_by_other_classes(tmp_path, digits_model):
    make_images(tmp_path / "other", {"big": 2, "small": 2})
    assert "'big'" in failed_after_start(run("evaluate", digits_model[0], tmp_path / "other"))


def test_evaluate_by_the_most_probable_classes(digits_model):
    path, record = digits_model
    told = json.loads(run("evaluate", path, "digits", "--top", 3, "--json").stdout)
    assert told["accuracy"] == record["accuracy"] < told["top"]["accuracy"] == told["top"]["correct"] / 359
    shown = run("evaluate", path, "digits", "--topk", 3).stdout
    assert f"Top-3 accuracy      {100 * told['top']['accuracy']:.1f} %  ({told['top']['correct']} of 359; 95 %" in shown
    assert "rank of true class" in shown
    assert f"The 5 most confident of {359 - record['correct']} mistakes" in shown
    assert "at most" in failed(run("evaluate", path, "digits", "--top", 11))


def test_a_table_instead_of_the_answers(photos, photos_model, here):
    shown = run("predict", photos_model, photos, "--csv", "-").stdout
    assert run("predict", photos_model, photos, "--csv", "table.csv").exit_code == 0
    assert shown == (here / "table.csv").read_text()
    assert "both want" in misused(run("predict", photos_model, photos, "--csv", "-", "--json"))
    assert sorted(os.listdir()) == ["table.csv"]


@pytest.mark.parametrize("name", ["", "-"])
def test_what_is_no_name(photos, photos_model, name):
    for words in (
        ("report", photos_model, photos, "-o", name),
        ("check", photos, "--page", name),
        ("train", photos, "-o", name),
    ):
        misused(run(*words))
    assert os.listdir() == []


def test_images_are_not_named_unless_few_are_wrong(tmp_path, digits_model):
    """What `evaluate` counts on the test set is what `predict` does with each file, and both say what is promised."""
    from PIL import Image

    from lanewise.data.load import load

    digits = load("digits").test
    for n, pixels in enumerate(digits.pixels[:60]):
        Image.fromarray(pixels[..., 0]).save(tmp_path / f"{n:02}.png")
    model = Model.load(digits_model[0])
    share = "10%"
    named = model.threshold(0.1).named(model.predict_proba(digits.pixels))
    result = run("predict", digits_model[0], tmp_path, "--abstain", share)
    lines = result.stdout.splitlines()
    assert ["not named" not in line for line in lines] == named[:60].tolist()
    assert f"{60 - named[:60].sum()} of 60 images not named" in result.stderr.replace("\n", " ")
    told = json.loads(run("predict", digits_model[0], tmp_path, "--abstain", 0.1, "--json").stdout)
    assert [one["class"] is not None for one in told["predictions"]] == named[:60].tolist()
    assert "on average at most 10 % of those named are wrong" in told["notes"][-1]
    table = run("predict", digits_model[0], tmp_path, "--abstain", share, "--csv", "-").stdout.splitlines()[1:]
    assert [line.split(",")[1] != "" for line in table] == named[:60].tolist()
    record = json.loads(run("evaluate", digits_model[0], "digits", "--abstain", share, "--json").stdout)
    assert record["abstention"]["named"] == named.sum()
    shown = run("evaluate", digits_model[0], "digits", "--abstain", share).stdout
    assert f"({named.sum()} of {len(named)}; {(~named).sum()} not named)" in shown
    assert "promised: at most 10 % on average" in shown


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_promise_that_is_none(command, digits_model, photos):
    images = photos if command == "predict" else "digits"
    assert "no share up to a half" in misused(run(command, digits_model[0], images, "--abstain", "60%"))
    assert "no share up to a half" in misused(run(command, digits_model[0], images, "--abstain", "few"))
    assert "cannot be promised" in failed(run(command, digits_model[0], images, "--abstain", "0.01%"))
