"""How depth maps become a closed, light mesh: TSDF integration, silhouette consistency, meshing, denoising."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class SurfaceConfig:
    """How depth maps become a mesh. A voxel is one of the visual hull's grid; sigma is a standard deviation."""

    # TSDF integration (surface/tsdf.py)
    truncation: float = bounded(5.0, 1.0, 100.0)
    """Truncation of the signed distances, voxels: as far as `smoothing_sigma` reaches. Set by hand."""
    back_weight: float = bounded(0.5, 0, 100)
    """Weight of a ray's last exit relative to its first hit, where the maps have no sigma: an exit is more often
    inferred than seen. Set by hand."""
    min_back_known: float = bounded(0.25, 0.0, 1.0)
    """A last exit counts at a point where more than this share of the pixels around its projection have one, [0, 1].
    Set by hand."""
    sigma_reach: float = bounded(3.0, 0.1, 100)
    """A first hit is integrated up to this many of its sigmas behind it, a last exit as far before it. Set by hand."""
    max_reach: float = bounded(30.0, 1.0, 1000.0)
    """Upper bound of the reach of an integrated hit, `sigma_reach` sigmas, in truncations. Set by hand."""
    measured_reach: float = bounded(0.4, 0.0, 1.0)
    """A measured depth is integrated at least this far behind its surface, in truncations, and at most one truncation.
    Set by hand: at 1, thin walls swell."""
    min_cosine: float = bounded(0.15, 0.01, 1.0)
    """Surfaces seen at a smaller cosine between ray and normal are weighted, and their distances corrected, as if at
    this one. Set by hand."""
    hull_margin: float = bounded(2.0, 0.5, 100)
    """Depths are integrated at voxels no further than this outside the visual hull, voxels. Set by hand."""
    fine_band: float = bounded(2.5, 1, 100)
    """After the coarse pass, voxels within this of its surface are integrated, unless `coarse_only`; voxels. Set by
    hand."""
    smoothing_sigma: float = bounded(1.5, 0.1, 20)
    """Sigma of the Gaussian over the integrated field, voxels. Chosen on held-out procedural objects, where 1 to 2 do
    about as well."""
    measured_smoothing_sigma: float = bounded(0.7, 0.1, 20)
    """The same where depths were measured, which are smooth already; voxels. Set by hand: at 1.5 a thin pan's floor is
    lifted by a millimetre."""
    kernel_radius: float = bounded(3.0, 1, 10)
    """Every Gaussian kernel over a field ends this many sigmas from its middle. Set by hand."""

    # One view of what stands on a plane (surface/standing.py)
    standing_shell: float = bounded(3.0, 1.0, 100)
    """The seen surface from which columns go down to the support plane is this thick, voxels. Set by hand: thick enough
    to have no holes between voxels."""

    # Silhouette consistency (surface/silhouette_consistency.py)
    fill_depth: float = bounded(0.375, 0, 10)
    """How far inside the surface a filled voxel comes to lie, voxels. Set by hand."""
    fill_band: float = bounded(1.0, 0, 100)
    """Voxels whose value is less than this below the highest along their ray are filled with it, voxels. Set by
    hand."""
    cell_size: float = bounded(1.2, 0.5, 100)
    """Side of the image cells that rays are gathered in, voxels as the view sees them, never less than a pixel; above
    1 so that no cell falls between voxels. Set by hand."""
    min_cell_coverage: float = bounded(0.3, 0.0, 1.0)
    """Share of a cell that must be silhouette for something to have to stand in it, [0, 1]: were it 1, the surface
    would end short of every silhouette. Set by hand."""
    fill_rounds: int = bounded(3, 0, 100)
    """Rounds of filling, each followed by smoothing. Chosen together with `fill_sigma` on held-out procedural objects,
    where three rounds reach as much as one does unsmoothed."""
    fill_sigma: float = bounded(1.0, 0.1, 20)
    """Sigma of the Gaussian over what a round has filled, voxels. Chosen on held-out procedural objects: the mean
    angle between faces falls from 34 to 11 degrees."""

    # Solid and marching cubes (surface/meshing.py)
    min_part_share: float = bounded(0.05, 0.0, 1.0)
    """Connected parts of less than this share of the largest one's volume are floaters and go, [0, 1]. Set by hand."""
    coarse_min_thickness: float = bounded(16.0, 0, 10000)
    """Marching cubes takes every second voxel of a solid thicker than this, voxels, before it is denoised. Chosen on
    held-out procedural objects: chamfer distances grow by 0.1 %, a mesh takes less than half the time; of thinner ones,
    tools and pans, edges would suffer."""
    coarse_max_loss: float = bounded(0.4, 0, 10)
    """Marching cubes takes every second voxel only if no voxel lies further inside than this, voxels, where every
    second one gives outside: a wire would be lost. Set by hand."""

    # Decimation (surface/simplification.py)
    negligible: float = bounded(0.25, 0.01, 100)
    """Displacement of the surface that decimation takes for nothing before it counts faces, voxels. Set by hand."""
    tolerance_growth: float = bounded(1.5, 1.01, 10.0)
    """Where quadric edge collapse leaves a mesh that is not closed, the tolerance grows by this factor until a closed
    one has few enough faces. Set by hand."""
    curved_share: float = bounded(0.6, 0.01, 1.0)
    """Share of the faces spent on curvature where a mesh is uneven; the others divide its long edges, [0, 1]. Set by
    hand."""
    uneven_ratio: float = bounded(3.0, 1, 1000)
    """A mesh is uneven where its long edges are more than this many times the median. Set by hand."""
    uneven_quantile: float = bounded(0.99, 0.0, 1.0)
    """Quantile of the edges' lengths that is taken for its long edges, [0, 1]. Set by hand."""
    first_length: float = bounded(1.9, 0.01, 100.0)
    """Length of edges that dividing tries first, relative to equilateral faces of the number allowed. Set by hand."""
    shortest_length: float = bounded(0.5, 0.01, 100.0)
    """Lower bound of the lengths that dividing tries, in the unit of `first_length`: far below it lie millions of
    faces. Set by hand."""
    length_exponent: float = bounded(0.8, 0.1, 10)
    """Step of the search: the length changes by the ratio of faces to this power. Set by hand: the number of faces
    grows about so fast as edges get shorter."""
    enough_faces: float = bounded(0.95, 0.01, 1.0)
    """Dividing ends once it uses this share of the faces allowed, [0, 1]. Set by hand."""
    max_divisions: int = bounded(7, 1, 100)
    """Lengths that dividing tries at most. Set by hand."""

    # Denoising (surface/denoise.py)
    denoise_min_faces: int = bounded(5000, 4, 10000000)
    """A mesh is denoised at no fewer faces than this: those of fewer are as long as the shape's own bends. Set by
    hand."""
    denoise_normal_sigma: float = bounded(0.2, 0.001, 10.0)
    """Faces whose unit normals differ by much more than this, about 11 degrees, do not smooth each other. Set by hand:
    more, in more rounds, smooths better and wears thin parts away."""
    denoise_distance_sigma: float = bounded(1.5, 0.001, 100.0)
    """Sigma over the distance between neighbouring faces' centres, in its root mean square. Set by hand."""
    denoise_normal_rounds: int = bounded(10, 0, 1000)
    """Rounds of smoothing the normals. Set by hand."""
    denoise_vertex_rounds: int = bounded(6, 0, 1000)
    """Rounds in which the vertices follow the normals. Set by hand."""
