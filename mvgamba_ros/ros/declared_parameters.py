"""The node's parameters as ROS holds them: declared, read, and checked when they are set."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.loading import load_config
from mvgamba_ros.config.rows import Row
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.ros.parameters import ROWS, Parameters, bad_parameter, parameters_from


def declare(node: Node) -> Callable[[], Parameters]:
    """Declares `ROWS` on ``node`` and returns a function that reads the present values.

    A wrong value at the start, or a setting of ``config_file`` that does not fit, raises BAD_PARAMETER (or rclpy's
    error for a range); later ones are refused by the node with the reason.
    """
    read = declare_rows(node, ROWS)
    for name in sorted(node._parameter_overrides):  # rclpy itself passes over a name that it does not know
        if not node.has_parameter(name):
            near = get_close_matches(name, [row.name for row in ROWS], 1)
            raise bad_parameter(f"unknown parameter '{name}'" + "".join(f": did you mean {other}" for other in near))
    file = read()["config_file"]
    try:
        config = load_config(ReconstructionConfig, file or None)
    except ReconstructionError as error:
        raise bad_parameter(f"config_file: {error.message}") from error

    by_name = {row.name: row for row in ROWS}
    current = parameters_from(read(), config)  # kept: reading them all takes milliseconds

    def on_set(changed: Sequence[Any]) -> SetParametersResult:
        nonlocal current
        try:
            for parameter in changed:
                if parameter.value is None:  # rclpy would forget the parameter
                    raise bad_parameter(f"{parameter.name} cannot be taken away: set it to another value, a list to []")
            current = parameters_from(read() | {p.name: _value(by_name[p.name], p.value) for p in changed}, config)
        except ReconstructionError as error:
            return SetParametersResult(successful=False, reason=error.message)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
    return lambda: current


def declare_rows(node: Node, declared: Sequence[Row]) -> Callable[[], dict[str, Any]]:
    """Declares a parameter for each row and returns a function that reads their values by name."""
    for row in declared:
        # An empty list has no type that ROS can infer: such a row begins without a value.
        node.declare_parameter(row.name, None if row.default == [] else row.default, _descriptor(row))

    return lambda: {row.name: _value(row, node.get_parameter(row.name).value) for row in declared}


def _value(row: Row, found: Any) -> Any:
    """The value of a row as Python has it. Raises BAD_PARAMETER where what should be a list of numbers is none."""
    if not isinstance(row.default, list):
        return found
    values = [] if found is None else found
    if isinstance(values, str | bytes) or not isinstance(values, Sequence | array):
        raise bad_parameter(f"{row.name} {values!r}: give a list of numbers, [] for none")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise bad_parameter(f"{row.name} {list(values)!r}: give numbers")
    return [float(value) for value in values]


def _descriptor(row: Row) -> Any:
    # ros2 param set takes [] for a list of bool and [1, 2] for one of int: a list has no type of its own here.
    loose = isinstance(row.default, list)
    descriptor = ParameterDescriptor(name=row.name, description=row.text, read_only=row.read_only, dynamic_typing=loose)
    if row.allowed:
        descriptor.additional_constraints = "one of: " + ", ".join(row.allowed)
    if row.low is not None and row.high is not None:
        if isinstance(row.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(row.low), to_value=int(row.high), step=0)]
        else:
            bounds = FloatingPointRange(from_value=float(row.low), to_value=float(row.high))
            descriptor.floating_point_range = [bounds]
    return descriptor
