"""Code of others that is on no package index: where it is, and the commits that the adapters were read against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Upstream:
    """A repository to clone.

    Attributes:
        repository: On GitHub, ``owner/name``.
        commit: The one whose calls and conventions the adapter follows, 40 hexadecimal digits.
        install: What to run then, beside the clone, for what the adapter calls of it.
        submodules: Whether it holds others.
    """

    repository: str
    commit: str
    install: str
    submodules: bool = False

    @property
    def command(self) -> str:
        """Gets the commit and what it needs, as text that ends a message."""
        name = self.repository.partition("/")[2]
        steps = [f"git clone https://github.com/{self.repository}", f"git -C {name} checkout {self.commit}"]
        if self.submodules:
            steps.append(f"git -C {name} submodule update --init --recursive")
        return f"{' && '.join(steps)} && {self.install}, and put the folder {name} on PYTHONPATH"


TRIPOSR = Upstream(
    "VAST-AI-Research/TripoSR",
    "d26e33181947bbbc4c6fc0f5734e1ec6c080956e",
    # its requirements.txt pins an omegaconf and a Pillow too old for this package; transformers 5 names the tensors of
    # its image encoder otherwise than model.ckpt does
    "pip install einops imageio 'rembg[cpu]' 'transformers<5' git+https://github.com/tatsy/torchmcubes.git",
)
TRELLIS = Upstream(
    "microsoft/TRELLIS",
    "6b0d64751ad54d9c32d7b05fec482eb29178f56f",
    # its renderers, which are not called, take packages that are not free for commercial use
    "(cd TRELLIS && . ./setup.sh --basic --xformers --flash-attn --spconv --kaolin)",
    submodules=True,
)
TRELLIS2 = Upstream(
    "microsoft/TRELLIS.2",
    "5565d240c4a494caaf9ece7a554542b76ffa36d3",
    # it puts pillow-simd, which is older than what this package takes, in the place of Pillow
    "(cd TRELLIS.2 && . ./setup.sh --basic --flash-attn --nvdiffrast --cumesh --o-voxel --flexgemm) && pip install "
    "--force-reinstall 'pillow>=10.1'",
    submodules=True,
)
STEP1X3D = Upstream(
    "stepfun-ai/Step1X-3D",
    "20b5de2b583d5898538c7cfde2fedd72a3f6a1c1",
    # whose omegaconf is too old for this package
    "pip install -r Step1X-3D/requirements.txt && pip install 'omegaconf>=2.4'",
)
