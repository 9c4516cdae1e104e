"""What the kernels along rays take: rays with the cameras that look at them, and layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sightlines:
    """The rays and the cameras, see the module's head."""

    view: int
    M: Tensor
    o: Tensor
    origin: Tensor
    directions: Tensor

    @property
    def others(self) -> list[int]:
        return [view for view in range(len(self.M)) if view != self.view]

    def seen_from(self, view: int, depths: Tensor) -> tuple[Tensor, Tensor]:
        """(R, N, 2), where view ``view`` sees the points at ``depths`` (R, N), and their z-depths there, (R, N)."""
        points = self.origin + depths[..., None] * self.directions[:, None]
        at = points @ self.M[view].T + self.o[view]
        z = at[..., 2].clamp(min=1e-6)
        return at[..., :2] / z[..., None], z


Layer = tuple[Tensor, Tensor]
