"""Where the weights of others lie on this machine: a folder, or a pinned commit in the Hugging Face cache.

Nothing is downloaded unless that is asked for by ``fetch``; what is, is data alone: safetensors, JSON and text, no code
and no pickles.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError, cause, shown

log = logging.getLogger(__name__)

PINNED = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
DATA = ("*.json", "*.txt", "*.safetensors")
INSTALL = "pip install 'mvgamba_ros[generate]'"
OPTION = "generator_weights (`mvgamba generate`: --weights)"
"""Where a generator's folder is named."""


@dataclass(frozen=True)
class Published:
    """Weights that others published.

    Attributes:
        repository: On the Hugging Face hub, ``owner/name``.
        commit: The one that is meant, 40 hexadecimal digits; empty where none is pinned: then a folder, or the commit,
            must be given.
        licence: Of the weights, and where its text is.
        files: Patterns of the files that are needed.
    """

    repository: str
    commit: str
    licence: str
    files: tuple[str, ...] = DATA

    @property
    def pinned(self) -> str:
        """As ``weights`` names it; empty where no commit is pinned."""
        return f"{self.repository}@{self.commit}" if self.commit else ""


def find_weights(
    name: str, weights: str, published: Published, fetch: bool, kind: str = "generator", option: str = OPTION
) -> Path:
    """The folder that holds the weights of ``name``.

    Args:
        name: For messages.
        weights: A folder, or ``owner/name@commit``; empty: ``published``.
        published: The weights that the generator is made for.
        fetch: Whether to download what is not in the cache.
        kind: What ``name`` is, for messages.
        option: Which option takes the folder, for messages.

    Returns:
        The folder; which files are in it is the caller's to check.

    Raises:
        ReconstructionError: BAD_CHECKPOINT where they are not on this machine, with the command that puts them there;
            MISSING_PACKAGE where the cache cannot be read without huggingface_hub.
    """
    wanted, owner = weights or published.pinned, f"{kind} {name}"
    if weights and Path(weights).is_dir():
        _announce(owner, weights, published)
        return Path(weights)
    named = PINNED.fullmatch(wanted)
    if not named:
        what = f"weights {shown(weights)}: neither a folder nor owner/name@commit" if weights else "it needs weights"
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"{owner}: {what}: {_command(name, published.repository, published.commit, option)}",
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"{owner}: the cache of its weights needs huggingface_hub: {INSTALL}"
        ) from error
    try:
        folder = snapshot_download(
            named["repository"],
            revision=named["commit"],
            allow_patterns=list(published.files),
            local_files_only=not fetch,
        )
    except Exception as error:  # of the hub's, of the network's or of the disk's many
        what = f"weights {wanted} cannot be fetched ({cause(error)})" if fetch else f"weights {wanted} are not here"
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT,
            f"{owner}: {what}: {_command(name, named['repository'], named['commit'], option)}",
        ) from error
    _announce(owner, wanted, published)
    return Path(folder)


def _command(name: str, repository: str, commit: str, option: str) -> str:
    revision = f" --revision {commit}" if commit else ""
    return f"run `hf download {repository}{revision} --local-dir {name}` and set {option} to that folder"


@lru_cache(maxsize=64)
def _announce(owner: str, weights: str, published: Published) -> None:
    """Once a process, as nobody reads what comes every time."""
    terms = f"those of {published.repository} are licensed: {published.licence}"
    log.warning("%s runs the weights %s; %s", owner, weights, terms)
