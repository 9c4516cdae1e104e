"""The package by pip, without ROS. Builds the native kernels through CMake; everything else is in pyproject.toml."""

import os
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("mvgamba_ros") / "kernels"


def jobs() -> int:
    """Compilers that may run at once, by tools/jobs.sh's rule: one a core, and one a GB of memory that is free."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = Path("/proc/meminfo")
    lines = memory.read_text().splitlines() if memory.is_file() else []
    free = [int(line.split()[1]) // 1_000_000 for line in lines if line.startswith("MemAvailable:")]
    return max(1, min([cores, *free]))


class CMakeBuild(build_ext):
    """Writes the kernel libraries, one per instruction set, beside the Python that loads them by path."""

    def libraries_dir(self) -> Path:
        return KERNELS if self.inplace or self.editable_mode else Path(self.build_lib) / KERNELS

    def run(self) -> None:
        target = self.libraries_dir().resolve()
        build = str(Path(self.build_temp).resolve() / "kernels")
        configure = ["cmake", "-S", str(KERNELS / "native"), "-B", build, f"-DMVGAMBA_KERNELS_DIR={target}"]
        subprocess.run(configure, check=True)
        level = {"CMAKE_BUILD_PARALLEL_LEVEL": str(jobs())}  # the environment's own goes first
        subprocess.run(["cmake", "--build", build], check=True, env=level | os.environ)

    def get_outputs(self) -> list[str]:
        return [str(path) for path in self.libraries_dir().glob("libmvgamba_kernels_*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


# The extension only marks the wheel as one for this platform: CMakeBuild knows what to build.
setup(ext_modules=[Extension("mvgamba_ros.kernels.native", sources=[])], cmdclass={"build_ext": CMakeBuild})
