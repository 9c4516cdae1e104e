"""RViz's configuration for a node as it was launched: its namespace, its topics, its frame.

RViz takes neither remapped names nor parameters for what its displays subscribe to, so config/reconstruct.rviz is
filled in with the resolved ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def filled_in(text: str, namespace: str, remapped: Mapping[str, str], fixed_frame: str) -> str:
    """``text``, an RViz configuration for a node without a namespace, for one in ``namespace``.

    ``remapped``: relative topics and what they were remapped to, e.g. ``{"image": "/wrist/image"}``.
    """
    config = yaml.safe_load(text)
    manager = config["Visualization Manager"]
    manager["Global Options"]["Fixed Frame"] = fixed_frame
    for display in manager["Displays"]:
        for key in ("Description Topic", "Topic"):
            named = display.get(key)
            if isinstance(named, dict) and "Value" in named:
                named["Value"] = resolved(named["Value"].lstrip("/"), namespace, remapped)
    return yaml.safe_dump(config, sort_keys=False)


def resolved(name: str, namespace: str, remapped: Mapping[str, str]) -> str:
    """The absolute topic of a relative name."""
    name = remapped.get(name, name)
    return name if name.startswith("/") else "/".join(["", *filter(None, namespace.split("/")), name])


def target_frame(params_file: str, namespace: str = "") -> str:
    """The ``target_frame`` that a ROS parameter file gives the node ``reconstructor``; the last section that fits wins,
    as in ROS; `base_link` where none does."""
    sections = yaml.safe_load(Path(params_file).read_text(encoding="utf-8")) or {}
    full = resolved("reconstructor", namespace, {})
    found = "base_link"
    for name, section in sections.items():
        if name.strip("/") in ("**", "reconstructor", full.strip("/")) or name == "/**/reconstructor":
            parameters: Any = (section or {}).get("ros__parameters") or {}
            found = parameters.get("target_frame", found)
    return str(found)
