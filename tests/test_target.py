"""Targets by name, by the environment, and what this machine is."""

from __future__ import annotations

import pytest

from lanewise import target
from lanewise.errors import OptionError
from lanewise.target import NAMED, Target, chosen, host, missing_features, named


def test_named() -> None:
    assert named("avx2") is NAMED["avx2"]
    assert named("host") == host()
    with pytest.raises(OptionError, match='unknown target "sse9"; there are host, avx512, avx2, x86-64'):
        named("sse9")


def test_values_that_fit_into_the_registers() -> None:
    assert {name: named(name).registers for name in NAMED} == {"avx512": 32, "avx2": 8, "x86-64": 4}


def test_environment_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "missing_features", lambda _: [])
    monkeypatch.setenv("LANEWISE_TARGET", "x86-64")
    assert chosen() == NAMED["x86-64"]
    monkeypatch.setenv("LANEWISE_TARGET", "")
    assert chosen() == host()
    monkeypatch.delenv("LANEWISE_TARGET")
    assert chosen() == host()
    monkeypatch.setenv("LANEWISE_TARGET", "none such")
    with pytest.raises(OptionError, match="unknown target"):
        chosen()


def test_target_that_would_crash_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_features(Target("t", "x", "+no-such-thing,-avx2", 16, 256)) == ["no-such-thing"]
    assert missing_features(host()) == []
    assert missing_features(NAMED["x86-64"]) == []
    monkeypatch.setitem(NAMED, "avx2", Target("avx2", "x", "+no-such-thing", 16, 256))
    monkeypatch.setenv("LANEWISE_TARGET", "avx2")
    with pytest.raises(OptionError, match="LANEWISE_TARGET is avx2, but this processor has no no-such-thing"):
        chosen()


def test_host_says_what_its_registers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a feature the next smaller registers are taken."""
    from llvmlite import binding

    class Features(dict[str, bool]):
        def flatten(self) -> str:
            return ""

    for present, expected in [
        (("avx512f", "avx512vl", "avx2", "fma"), (32, 512)),
        (("avx512f", "avx2", "fma"), (16, 256)),
        (("avx2",), (16, 128)),
        (("neon",), (32, 128)),
        ((), (16, 128)),
    ]:
        features = Features.fromkeys(present, True)
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda features=features: features)
        assert (host().vectors, host().bits) == expected
