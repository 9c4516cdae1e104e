"""The size of an encoded picture by its header, so that a picture too large is refused before it takes its memory.

A PNG of 250 kB may hold 256 million equal pixels. Pillow reads headers without decoding what follows.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path


def encoded_size(source: Path | bytes, formats: tuple[str, ...] | None = None) -> tuple[int, int]:
    """Width and height that the header of an encoded picture states, pixels; nothing is decoded.

    ``source``: a file, or its bytes. ``formats``: Pillow's names of those to try, all where None. Raises ValueError
    with the reason where the header is broken, of another format, or of a size beyond Pillow's own limit.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source if isinstance(source, Path) else BytesIO(source), formats=formats) as picture:
            return picture.size
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # its own words hold the whole path, or the bytes' address
        raise ValueError("is no picture, or damaged at its beginning") from error
    except Exception as error:  # a broken header surfaces as whatever its parser stumbles over
        raise ValueError(str(error) or type(error).__name__) from error
