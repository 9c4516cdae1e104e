# mypy: no-check-untyped-defs
"""An option is declared once: a new row is found in every place where options are chosen, with the same default."""

from __future__ import annotations

import argparse
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from mvgamba_ros.cli._flags import add_config, add_options, add_prompts, flag, options_from
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.rows import option, rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.options import Options
from mvgamba_ros.ros.parameters import ROWS, as_markdown, as_yaml, parameters_from
from mvgamba_ros.types import Prompts

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class More(Options):
    """With three rows that the package does not have."""

    contrast: float = option(0.25, "Contrast of the picture", low=0.0, high=1.5, unit="stops")
    shape: str = option("round", "Shape of the kernel", choices=("round", "square"))
    offset: list[float] = option([0.0, 0.25], "Shift of the picture")


def parse(cls, *arguments):
    parser = argparse.ArgumentParser()
    add_prompts(parser, "default: anywhere")
    add_options(parser, cls)
    add_config(parser)
    return options_from(parser.parse_args(arguments), cls), parser.format_help()


def test_a_new_row_is_a_field_with_its_range_and_choices():
    assert More().contrast == 0.25 and More(contrast=1.5).contrast == 1.5
    for change, words in (
        ({"contrast": 2.0}, "contrast 2.0 .* 0 to 1.5"),
        ({"shape": "oval"}, "'oval'.*round, square"),
    ):
        with pytest.raises(ReconstructionError, match=words) as caught:
            More(**change)
        assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"refine": 1}, "refine 1 must be True or False"),
        ({"convex_hull": "no"}, "convex_hull 'no' must be True or False"),
        ({"use_masks": None}, "use_masks None must be a bool"),
        ({"checkpoint": None}, "checkpoint None must be text"),
        ({"device": 0}, "device 0 must be text"),
        ({"method": ["hull"]}, r"method \['hull'\] must be text"),
        ({"config": {}}, "config {} must be a ReconstructionConfig"),
        ({"prompts": None}, "prompts None must be a Prompts"),
        ({"max_faces": True}, "max_faces True must be a whole number"),
        ({"max_faces": np.float64(900.0)}, "max_faces 900.0 must be a whole number"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_before_any_work(change, words):
    with pytest.raises(ReconstructionError, match=words) as caught:
        Options(**change)
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_numbers_of_numpy_and_paths_are_taken_and_can_be_reported():
    options = Options(max_faces=np.int64(900), refine=np.bool_(False), checkpoint=Path("a") / "b")
    assert options == Options(max_faces=900, refine=False, checkpoint="a/b")
    assert json.loads(json.dumps(options.to_dict()))["options"]["max_faces"] == 900


def test_a_new_row_is_a_flag():
    chosen, text = parse(More, "--contrast", "0.5", "--shape", "square", "--offset", "0.5", "1")
    assert (chosen.contrast, chosen.shape, chosen.offset) == (0.5, "square", [0.5, 1.0])
    assert parse(More, "--offset", "0.5")[0].offset == [0.5]
    assert parse(More)[0] == More()
    assert "--contrast" in text and "contrast of the picture (0 to 1.5 stops, default: 0.25)" in " ".join(text.split())
    assert "round, square" in text


def test_a_new_row_is_in_the_parameter_file_and_in_the_readmes_table():
    text = as_yaml(rows(More))
    assert yaml.safe_load(text)["/**"]["ros__parameters"]["contrast"] == 0.25
    assert "# Contrast of the picture (0 to 1.5 stops)." in text and "# Shape of the kernel (round, square)." in text
    assert "| `contrast` | `0.25` | 0 to 1.5 stops | Contrast of the picture |" in as_markdown(rows(More))


@pytest.mark.ros
def test_a_new_row_is_a_parameter_of_a_node(monkeypatch):
    rclpy = pytest.importorskip("rclpy")
    from rclpy.parameter import Parameter
    from ros_world import free_domain

    from mvgamba_ros.ros.declared_parameters import declare_rows

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    context.init(domain_id=free_domain())
    node = rclpy.create_node("options", context=context)
    try:
        read = declare_rows(node, rows(More))
        assert read()["contrast"] == 0.25 and read()["shape"] == "round"
        (accepted,) = node.set_parameters([Parameter("contrast", value=0.5)])
        (refused,) = node.set_parameters([Parameter("contrast", value=2.0)])
        assert accepted.successful and not refused.successful
        assert read()["contrast"] == 0.5
        assert node.describe_parameter("contrast").description == "Contrast of the picture"
        assert "round, square" in node.describe_parameter("shape").additional_constraints
    finally:
        node.destroy_node()
        context.shutdown()


@pytest.mark.ros
def test_a_region_is_set_and_unset_by_whatever_list_the_tools_send(monkeypatch):
    rclpy = pytest.importorskip("rclpy")
    from rcl_interfaces.msg import Parameter, ParameterValue
    from ros_world import free_domain

    from mvgamba_ros.ros.declared_parameters import declare

    def sent(kind, **value):
        return rclpy.parameter.Parameter.from_parameter_msg(
            Parameter(name="roi_m", value=ParameterValue(type=kind, **value))
        )

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    context.init(domain_id=free_domain(), args=["--ros-args", "-p", "roi_m:=[1, 2, 3, 1, 1, 1]"])
    node = rclpy.create_node("region", context=context)
    try:
        parameters = declare(node)
        assert parameters().roi_m == [1.0, 2.0, 3.0, 1.0, 1.0, 1.0]
        empty = sent(6)  # `ros2 param set NODE roi_m "[]"` sends an empty list of bool
        numbers = sent(7, integer_array_value=[0, 0, 0, 1, 1, 1])
        for value, expected in ((empty, []), (numbers, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), (sent(8), [])):
            (answer,) = node.set_parameters([value])
            assert answer.successful and parameters().roi_m == expected, answer.reason
        for wrong in (
            sent(9, string_array_value=["a"]),
            sent(4, string_value="abc"),
            sent(3, double_value=1.0),
            sent(0),
        ):
            (answer,) = node.set_parameters([wrong])
            assert not answer.successful and "roi_m" in answer.reason
        assert parameters().roi_m == [] and node.has_parameter("roi_m")
    finally:
        node.destroy_node()
        context.shutdown()


@pytest.mark.parametrize("row", rows(Options), ids=lambda row: row.name)
def test_the_default_is_the_same_in_python_on_the_command_line_and_in_the_node(row):
    default = getattr(Options(), row.name)
    file = yaml.safe_load((REPOSITORY / "config" / "reconstruct.yaml").read_text())["/**"]["ros__parameters"]
    assert file[row.name] == default
    assert getattr(parse(Options)[0], row.name) == default
    assert flag(row) in parse(Options)[1]
    values = {each.name: each.default for each in ROWS}
    assert getattr(parameters_from(values, ReconstructionConfig()).options, row.name) == default


@pytest.mark.parametrize(
    "path",
    ["srv/Reconstruct.srv", "action/ReconstructObject.action", "srv/ReconstructScene.srv"],
)
def test_the_fields_of_a_request_are_options_that_can_be_left_to_the_node(path):
    how = (REPOSITORY / path).read_text().split("---")[0].split("# How")[1]
    declared = re.findall(r"^(\w+) ([a-z_]+) ", how, re.MULTILINE)
    by_name = {row.name: row for row in ROWS}
    assert {"method", "refine", "max_faces", "answer_mesh"} <= {name for _, name in declared}
    for kind, name in declared:
        row = by_name[name]
        assert kind == {bool: "uint8", int: "uint32", str: "string"}[type(row.default)]
        if kind == "uint32":
            assert row.low is not None and row.low > 0, "0 must be free for the node's parameter"
    assert re.findall(r"^uint8 ([A-Z]+) = (\d)", how, re.MULTILINE) == [("DEFAULT", "0"), ("YES", "1"), ("NO", "2")]


@pytest.mark.ros
def test_a_request_chooses_what_it_fills_in_and_leaves_the_rest_to_the_node():
    pytest.importorskip("rclpy")
    from mvgamba_ros.ros.requests import SWITCHES, chosen_options
    from mvgamba_ros.srv import Reconstruct

    request, node = Reconstruct.Request, Options(refine=False, convex_hull=True)
    assert SWITCHES == {request.DEFAULT: None, request.YES: True, request.NO: False}
    assert chosen_options(request(), node) == {}
    filled = request(method="hull", refine=request.YES, max_faces=300, convex_hull=request.NO)
    assert chosen_options(filled, node) == {"method": "hull", "refine": True, "max_faces": 300, "convex_hull": False}
    with pytest.raises(ReconstructionError, match="refine 7") as caught:
        chosen_options(request(refine=7), node)
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_views": 9, "max_views": 4}, "min_views 9 is more than max_views 4"),
        ({"method": "magic"}, "'magic' is not one of hull, mvgamba"),
        ({"max_faces": 3}, "max_faces 3"),
        ({"roi_m": [1.0, 2.0]}, "six numbers"),
        ({"roi_m": [0.0, 0.0, 0.0, 0.1, -0.1, 0.1]}, "positive"),
        ({"support_height_m": math.inf}, "infinite"),
        ({"target_frame": ""}, "target_frame is empty"),
        ({"image_transport": "theora"}, "'theora' is not one of raw, compressed"),
    ],
)
def test_parameters_that_do_not_fit_are_named(changes, words):
    with pytest.raises(ReconstructionError, match=words) as caught:
        parameters_from({row.name: row.default for row in ROWS} | changes, ReconstructionConfig())
    assert caught.value.code is ErrorCode.BAD_PARAMETER


def test_options_are_plain_json_values_with_every_row_and_every_section():
    prompts = Prompts(
        roi=axis_parallel_box(np.zeros(3), np.ones(3)), points={1: np.ones((1, 3))}, support_height=np.float64(0.5)
    )
    written = json.loads(json.dumps(Options(method="hull", prompts=prompts).to_dict()))
    assert {row.name for row in rows(Options)} <= set(written["options"])
    assert written["options"]["method"] == "hull" and written["options"]["prompts"]["support_height_m"] == 0.5
    assert written["options"]["prompts"]["roi"]["size_m"] == [1.0, 1.0, 1.0]
    assert {"segmentation", "surface"} <= set(written["config"])
