"""How several test processes share the tests: by file, but for the slow tests of a file that has fast ones too."""

from __future__ import annotations

from itertools import groupby

from xdist.scheduler import LoadScopeScheduling


class SpreadTests(LoadScopeScheduling):  # type: ignore[misc]
    """Takes the tests in the order that they are collected in."""

    def schedule(self) -> None:
        for ids in self.registered_collections.values():
            self.groups = groups(ids)
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self.groups[nodeid]


def groups(ids: list[str]) -> dict[str, str]:
    """Which tests go to one process: those of a file, as they share what its fixtures made.

    Those that come after other files' are slow ones (`conftest`): each goes where a process is free, so that all of
    them end at about the same time.
    """
    found: dict[str, str] = {}
    for file, run in groupby(ids, lambda nodeid: nodeid.partition("::")[0]):
        begun = file in found.values()
        found |= {nodeid: nodeid if begun else file for nodeid in run}
    return found
