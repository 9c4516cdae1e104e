"""The package by pip, without ROS. Builds the native kernels through CMake; everything else is in pyproject.toml."""

import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("mvgamba_ros") / "kernels"


class CMakeBuild(build_ext):
    """Writes the kernel libraries, one per instruction set, beside the Python that loads them by path."""

    def libraries_dir(self) -> Path:
        return KERNELS if self.inplace or self.editable_mode else Path(self.build_lib) / KERNELS

    def run(self) -> None:
        target = self.libraries_dir().resolve()
        build = str(Path(self.build_temp).resolve() / "kernels")
        configure = ["cmake", "-S", str(KERNELS / "native"), "-B", build, f"-DMVGAMBA_KERNELS_DIR={target}"]
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", build, "--parallel"], check=True)

    def get_outputs(self) -> list[str]:
        return [str(path) for path in self.libraries_dir().glob("libmvgamba_kernels_*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


# The extension only marks the wheel as one for this platform: CMakeBuild knows what to build.
setup(ext_modules=[Extension("mvgamba_ros.kernels.native", sources=[])], cmdclass={"build_ext": CMakeBuild})
