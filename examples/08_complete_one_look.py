"""One look of a robot's camera, completed to a whole object: what the look hides is made up, and the answer says so.

usage: python examples/08_complete_one_look.py [generator:=triposr] [weights:=FOLDER] [object:=bottle] [rviz:=true]

It starts a simulated arm and the node, captures one view and requests the object: as the network that ships guesses it
and, where a generator is named (docs/generate.md lists them), completed by that. In RViz the display "Seen or guessed"
tells the parts apart. With start:=false it calls what `ros2 launch mvgamba_ros demo.launch.py rviz:=true` started.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from mvgamba_ros.ros.demo.arm_calls import ArmCalls
from mvgamba_ros.ros.demo.main import PATIENCE, goal_for
from mvgamba_ros.ros.demo.processes import check_alive, running, running_rviz, use_own_network
from mvgamba_ros.ros.object_summary import rows, table

given = {"generator": "network", "weights": "", "object": "can", "rviz": "false", "start": "true"}
given |= dict(argument.split(":=", 1) for argument in sys.argv[1:])
with ExitStack() as stack:
    logs, nodes = Path(stack.enter_context(tempfile.TemporaryDirectory())), []
    if given["start"] == "true":
        use_own_network()
        arm = {"object": given["object"], "publish_depth": True}
        node = {"use_depth": True, "generator_weights": given["weights"], "output_dir": str(logs), **PATIENCE}
        for name, module, values in (("arm", "mvgamba_ros.ros.demo.arm_node", arm), ("node", "mvgamba_ros.ros", node)):
            nodes.append(stack.enter_context(running(name, [module], values, logs)))
    if given["rviz"] == "true":
        stack.enter_context(running_rviz(logs))
    robot = stack.enter_context(ArmCalls(check=lambda: check_alive(nodes)))
    poses, truth = robot.wait_for_arm(120.0)
    robot.move_camera(poses[0], 90.0)
    robot.capture_view(60.0, until_new=True)
    for generator in dict.fromkeys(["network", given["generator"]]):
        goal = goal_for(truth, object_id=given["object"], generator=generator)  # with a region and the table's height
        found = robot.reconstruct(goal, lambda stage, done: None, 3600.0).object
        guessed = f"{found.mesh_vertex_seen.count(0)} of {len(found.mesh.vertices)} vertices: do not grasp it there"
        print("", *table([*rows(found), ("guessed", guessed)]), sep="\n", flush=True)
