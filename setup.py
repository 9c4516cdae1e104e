"""The package by pip, without ROS. Builds the native kernels through CMake; everything else is in pyproject.toml."""

import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class NativeKernels(Extension):
    """A CMake project whose one library lands in mvgamba_ros/kernels/."""

    def __init__(self) -> None:
        super().__init__("mvgamba_ros.kernels.libmvgamba_kernels", sources=[])
        self.source_dir = Path(__file__).parent.resolve() / "mvgamba_ros" / "kernels" / "native"


class CMakeBuild(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        # Loaded by path, not imported: no Python version in the name.
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        assert isinstance(ext, NativeKernels)
        target = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = Path(self.build_temp).resolve() / "kernels"
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                "cmake",
                f"-S{ext.source_dir}",
                f"-B{build}",
                "-DCMAKE_BUILD_TYPE=Release",
                f"-DMVGAMBA_KERNELS_OUTPUT={target}",
            ],
            check=True,
        )
        subprocess.run(["cmake", "--build", str(build), "--parallel"], check=True)


setup(ext_modules=[NativeKernels()], cmdclass={"build_ext": CMakeBuild})
