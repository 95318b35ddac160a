"""What is missing is named with what installs it."""

import pytest

from lanewise.errors import MissingPackageError
from lanewise.extras import need


def test_what_is_installed_is_imported():
    assert need("json.decoder", "reading").JSONDecoder


def test_what_is_missing_is_named_with_its_extra():
    with pytest.raises(MissingPackageError, match=r'^drawing needs no_such_package: pip install "lanewise\[report\]"$'):
        need("no_such_package.part", "drawing")
    with pytest.raises(ImportError, match=r"lanewise\[search\]"):
        need("no_such_package", "searching", "search")


def test_a_part_that_is_missing_in_what_is_installed_is_another_story(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        need("broken_package", "drawing")
