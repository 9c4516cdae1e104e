"""Which Fast DDS profile a process of ours gets: large pictures need a larger shared-memory segment."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
FORMER_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"


def profile_environment(chosen: str, default: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for our processes alone: the profile that was ``chosen``; else the ``default`` one, unless
    the site has set a profile or another RMW implementation in its ``environment``, which then stays."""
    if chosen:
        return {VARIABLE: chosen}
    if environment.get(VARIABLE) or environment.get(FORMER_VARIABLE):
        return {}
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return {}
    return {VARIABLE: default}
