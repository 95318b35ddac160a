import os
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from lanewise import private
from lanewise.caching import cache_folder


def test_the_folder_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("LANEWISE_CACHE", "/somewhere")
    assert cache_folder("code") == Path("/somewhere/code")
    monkeypatch.delenv("LANEWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder("images") == Path("/cache/lanewise/images")


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("system", "folder"),
    [
        ("linux", "/home/someone/.cache/lanewise/code"),
        ("darwin", "/home/someone/Library/Caches/lanewise/code"),
        ("win32", "/users/someone/local/lanewise/code"),
    ],
)
def test_each_system_has_a_folder_for_caches(monkeypatch, system, folder):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.delenv("LANEWISE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("LOCALAPPDATA", "/users/someone/local")
    assert cache_folder("code") == Path(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder("code") == Path("/cache/lanewise/code"), "the user's word counts everywhere"


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
def test_nothing_is_kept_for_a_user_without_a_home(monkeypatch):
    monkeypatch.delenv("LANEWISE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "nowhere")
    assert cache_folder("code") == Path(os.devnull, "lanewise", "code")


User = namedtuple("User", "pw_name pw_uid pw_gid")
Group = namedtuple("Group", "gr_name gr_gid gr_mem")


@pytest.mark.skipif(os.name == "nt", reason="users and groups of POSIX")
@pytest.mark.parametrize(
    ("users", "group", "alone"),
    [
        ([User("ann", 1000, 1000), User("bob", 1001, 1001)], Group("ann", 1000, []), True),
        ([User("ann", 1000, 1000)], Group("ann", 1000, ["ann"]), True),
        ([User("ann", 1000, 1000)], Group("ann", 1000, ["bob"]), False),  # bob was let in
        ([User("ann", 1000, 1000), User("bob", 1001, 1000)], Group("ann", 1000, []), False),  # it is bob's, too
        ([User("ann", 1000, 100)], Group("users", 100, []), False),  # everybody's, as far as one can tell
        ([User("ann", 1000, 1000)], Group("staff", 50, []), False),
        ([User("root", 0, 0)], Group("root", 0, []), False),
        ([], Group("ann", 1000, []), False),
    ],
)
def test_a_group_of_one_may_write_above_a_cache(tmp_path, monkeypatch, users, group, alone):
    import grp
    import pwd

    me = users[0].pw_uid if users else 1000

    def user(number):
        return next(one for one in users if one.pw_uid == number) if users else {}[number]

    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: me)
        patch.setattr(pwd, "getpwuid", user)
        patch.setattr(pwd, "getpwall", lambda: users)
        patch.setattr(grp, "getgrgid", lambda number: group)
        found = private._group_of_one.__wrapped__(group.gr_gid)
    assert found is alone
    monkeypatch.setattr(private, "_group_of_one", lambda number: alone)
    folder = tmp_path / "above" / "cache"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o775)
    assert ("other users can write" in private.folder_problem(folder)) is not alone
    folder.chmod(0o770)  # the folder itself must be the user's alone
    assert private.folder_problem(folder)
    folder.parent.chmod(0o777)
    folder.chmod(0o700)
    assert private.folder_problem(folder)
