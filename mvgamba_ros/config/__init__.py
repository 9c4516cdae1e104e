"""Every number that can be set, in frozen dataclasses; the text under a field says what it means, its unit and how it
was chosen."""

from mvgamba_ros.config.reconstruction_config import ReconstructionConfig

__all__ = ["ReconstructionConfig"]
