"""The processor that code is made for: its name, its features, the width of its vector registers.

`LANEWISE_TARGET` (or the `target` argument of whoever compiles) overrides the processor found, with one of
`avx512`, `avx2`, `x86-64`, so that what a smaller machine would do can be tested on a larger one. The results
are the same bits on all of them.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from lanewise import processors
from lanewise.errors import OptionError
from lanewise.notes import Note, say
from lanewise.ranks import active


@dataclass(frozen=True, slots=True)
class Target:
    """What the compiler needs to know of a processor.

    `features` is LLVM's text ("+avx2,+fma"), `vectors` the number of vector registers, `bits` their width.
    """

    name: str
    cpu: str
    features: str
    vectors: int
    bits: int

    @property
    def registers(self) -> int:
        """How many values of 16 float32 lanes fit into the registers at once."""
        return self.vectors * self.bits // 512

    @property
    def fuses(self) -> bool:
        """Whether one instruction multiplies and adds; where not, C's `fmaf` is called for each lane."""
        return "-fma" not in self.features.split(",")


_NO_AVX512 = ",".join(
    f"-avx512{part}"
    for part in ("f", "bw", "cd", "dq", "vl", "fp16", "bf16", "bitalg", "ifma", "vbmi", "vbmi2", "vnni", "vpopcntdq")
)

NAMED = {
    "avx512": Target("avx512", "skylake-avx512", "+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd,+fma", 32, 512),
    "avx2": Target("avx2", "haswell", f"+avx2,+fma,{_NO_AVX512}", 16, 256),
    "x86-64": Target("x86-64", "x86-64", f"-avx,-avx2,-fma,{_NO_AVX512}", 16, 128),
}


def named(name: str) -> Target:
    """The target called `name`: "host" or one of `NAMED`."""
    if name == "host":
        return host()
    if name not in NAMED:
        raise OptionError(f'unknown target "{name}"; there are host, {", ".join(NAMED)}')
    return NAMED[name]


def chosen() -> Target:
    """The target named by the environment variable LANEWISE_TARGET, or else this machine.

    Raises
    ------
    OptionError
        If there is no such target, or this machine cannot run its code.
    """
    name = os.environ.get("LANEWISE_TARGET") or "host"
    target = named(name)
    if missing := missing_features(target):
        raise OptionError(
            f"LANEWISE_TARGET is {name}, but this processor has no {', '.join(missing)}; unset it to use what it has"
        )
    return target


def missing_features(target: Target) -> list[str]:
    """Features that code for `target` may use and this machine lacks; such code would crash here."""
    from llvmlite import binding

    if target.name in NAMED and platform.machine().lower() not in ("x86_64", "amd64"):
        return ["x86-64 instructions"]
    present = binding.get_host_cpu_features()
    wanted = [feature[1:] for feature in target.features.split(",") if feature.startswith("+")]
    return [feature for feature in wanted if not present.get(feature)]


def host() -> Target:
    """This machine."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    cpu = binding.get_host_cpu_name()
    text = features.flatten()
    if features.get("avx512f") and features.get("avx512vl"):
        return Target("host", cpu, text, 32, 512)
    if features.get("avx2") and features.get("fma"):
        return Target("host", cpu, text, 16, 256)
    if features.get("neon"):
        return Target("host", cpu, text, 32, 128)
    return Target("host", cpu, text, 16, 128)


def default_threads() -> int:
    """The number of processors this process may use, less where a container sets a limit, or ranks share them."""
    ranks = active()
    return processors.processors() if ranks is None else max(1, processors.processors() // ranks.neighbours)


def usable_threads(asked: int | None, tasks: int | None = None) -> int:
    """How many threads to run where `asked` were asked for: no more than can run at once, and than there are tasks.

    Results do not depend on it, and a thread without a processor only makes the others wait.
    """
    most = default_threads() if active() is None or asked is None else processors.processors()
    if asked is not None and asked > most:
        say(Note(f"{asked} threads were requested, but only {most} run: one per available processor"))
    return max(1, min(asked or most, most, tasks or most))
