import os
from pathlib import Path

from lanewise.caching import cache_folder


def test_the_folder_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", "/somewhere")
    assert cache_folder("code") == Path("/somewhere/code")
    monkeypatch.delenv("LANEWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder("pictures") == Path("/cache/lanewise/pictures")
    if os.name != "nt":
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.setenv("HOME", "/home/someone")
        assert cache_folder("code") == Path("/home/someone/.cache/lanewise/code")
