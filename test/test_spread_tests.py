"""Several processes that share the tests: what goes to one of them, and domains that no other is in."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("xdist", reason="install the extra dev")
pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from spread_tests import groups

from mvgamba_ros.ros.demo.processes import free_domain
from mvgamba_ros.ros.service_calls import CallError


def test_a_file_stays_together_but_for_slow_tests_that_come_after_those_of_others() -> None:
    ids = ["a.py::fast", "a.py::quick[x::y]", "b.py::fast", "c.py::slow", "c.py::long", "a.py::slow", "a.py::long"]
    assert list(groups(ids).values()) == ["a.py", "a.py", "b.py", "c.py", "c.py", "a.py::slow", "a.py::long"]


def test_a_domain_that_somebody_is_in_is_passed_over() -> None:
    domains = range(90, 93)
    first = free_domain(domains, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7410 + 250 * first))
        assert free_domain(domains, domains.index(first)) in set(domains) - {first}
        with pytest.raises(CallError, match=f"every ROS domain from {first} to {first} is in use"):
            free_domain([first], 0)
