"""What ~/save writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.results import report, write_results
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import View


def save(folder: str, result: Reconstruction, views: Sequence[View], object_id: str, frame: str) -> list[str]:
    """Writes what `mvgamba reconstruct` writes, the report with the object's id and frame, and views/: a capture
    folder that `mvgamba reconstruct` reads. Returns the absolute paths. Raises CANNOT_WRITE.
    """
    target = Path(folder).expanduser().absolute()
    files = write_results(target, result, preview(views, result))
    try:
        (target / "report.json").write_text(
            json.dumps({"id": object_id, "frame": frame, **report(result)}, indent=1) + "\n", encoding="utf-8"
        )
        files.append(write_capture(target / "views", views))
    except OSError as error:
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{target}: {error.strerror}") from error
    return [str(path) for path in files]
