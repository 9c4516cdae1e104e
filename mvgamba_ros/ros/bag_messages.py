"""Messages as a recording holds them, of arrays: `conversions` without ROS, by the types of rosbags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.geometry import camera_info_fields, pose_numbers
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.types import Camera

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF = "tf2_msgs/msg/TFMessage"
ARRAYS = {"d": np.float64, "k": np.float64, "r": np.float64, "p": np.float64}


def typestore(what: object) -> Typestore:
    """The messages of ROS 2. Raises MISSING_PACKAGE, naming ``what`` needs it, where rosbags is not installed."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"{what}: recordings need the package rosbags: pip install 'mvgamba_ros[bags]'"
        ) from error
    return get_typestore(Stores.ROS2_JAZZY)


class Messages:
    """Makes messages of the types of ``store``; stamps in nanoseconds."""

    def __init__(self, store: Typestore) -> None:
        self._types = store.types

    def _header(self, stamp: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(stamp, NANOSECONDS)
        time = self._types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        return self._types["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    def image(self, pixels: NDArray[Any], encoding: str, stamp: int, frame: str) -> Any:
        """An Image, its rows one after the other, of pixels (H, W) or (H, W, C)."""
        pixels = np.ascontiguousarray(pixels)
        return self._types[IMAGE](
            header=self._header(stamp, frame),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.strides[0],
            data=pixels.reshape(-1).view(np.uint8),
        )

    def camera_info(self, camera: Camera, stamp: int, frame: str) -> Any:
        """The CameraInfo that is read as ``camera``."""
        fields = camera_info_fields(camera)
        region = self._types["sensor_msgs/msg/RegionOfInterest"]
        return self._types[CAMERA_INFO](
            header=self._header(stamp, frame),
            binning_x=0,
            binning_y=0,
            roi=region(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
            **{name: np.array(value, ARRAYS[name]) if name in ARRAYS else value for name, value in fields.items()},
        )

    def transforms(self, mounts: Sequence[Mount], stamp: int) -> Any:
        """A TFMessage of the moment ``stamp``."""
        made = []
        for mount in mounts:
            x, y, z, qx, qy, qz, qw = pose_numbers(mount.T_parent_frame)
            transform = self._types["geometry_msgs/msg/Transform"](
                translation=self._types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
                rotation=self._types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
            )
            made.append(
                self._types["geometry_msgs/msg/TransformStamped"](
                    header=self._header(stamp, mount.parent), child_frame_id=mount.frame, transform=transform
                )
            )
        return self._types[TF](transforms=made)
