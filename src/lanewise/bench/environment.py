"""Where and when figures were taken: without it they mean little."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from lanewise.processors import proc_value
from lanewise.version import __version__

BUSY = 0.5
"""Processors in use before a measurement starts; above it, a warning goes with the figures."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and when figures were taken; `versions` are of Lanewise, what it runs on, and whoever took part."""

    machine: dict[str, Any]
    versions: dict[str, str]
    date: str

    @staticmethod
    def now() -> Environment:
        """Those of this machine at this moment; call it before the work, which loads the machine itself."""
        versions = {"lanewise": __version__} | {name: metadata.version(name) for name in _required("lanewise")}
        machine = {
            "cpu": proc_value("cpuinfo", "model name") or platform.processor() or platform.machine(),
            "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "busy": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        }
        return Environment(machine, versions, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def with_versions(self, versions: dict[str, str]) -> Environment:
        """The same, and `versions` of others who took part."""
        return replace(self, versions=self.versions | versions)

    @property
    def processor(self) -> str:
        """What belongs beside every table: figures of two processors are no comparison."""
        return f"Processor: {self.machine['cpu']}, {self.machine['cores']} cores"

    @property
    def sentences(self) -> list[str]:
        """The same for people."""
        machine = self.machine
        said = [
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {self.date}",
            ", ".join(f"{name} {version}" for name, version in ({"Python": machine["python"]} | self.versions).items()),
        ]
        if machine["busy"] and machine["busy"] > BUSY:
            said.append(
                f"The machine was not idle: {machine['busy']} processors were busy with other work before the start."
            )
        return said


def _required(distribution: str) -> list[str]:
    """Names of what a distribution needs, without its extras."""
    needed = [line for line in metadata.requires(distribution) or [] if "extra" not in line.partition(";")[2]]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed]
