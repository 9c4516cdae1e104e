"""All sections of a reconstruction's settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config.baking_config import BakingConfig
from mvgamba_ros.config.depth_config import DepthConfig
from mvgamba_ros.config.expected_chamfer_config import ExpectedChamferConfig
from mvgamba_ros.config.expected_error_config import ExpectedErrorConfig
from mvgamba_ros.config.gaussian_meshing_config import GaussianMeshingConfig
from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.config.photo_consistency_config import PhotoConsistencyConfig
from mvgamba_ros.config.pose_conventions_config import PoseConventionsConfig
from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.config.refinement_config import RefinementConfig
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.config.wholeness_config import WholenessConfig


@dataclass(frozen=True)
class ReconstructionConfig:
    """One section a stage; each is handed to the code that reads it."""

    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    poses: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    hull: HullConfig = field(default_factory=HullConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    splats: SplatConfig = field(default_factory=SplatConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)
    baking: BakingConfig = field(default_factory=BakingConfig)
    gaussian_meshing: GaussianMeshingConfig = field(default_factory=GaussianMeshingConfig)
    expected_error: ExpectedErrorConfig = field(default_factory=ExpectedErrorConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    """Photometric refinement of the mesh."""
    photo_consistency: PhotoConsistencyConfig = field(default_factory=PhotoConsistencyConfig)
    expected_chamfer: ExpectedChamferConfig = field(default_factory=ExpectedChamferConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    wholeness: WholenessConfig = field(default_factory=WholenessConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    pose_conventions: PoseConventionsConfig = field(default_factory=PoseConventionsConfig)
