"""errgroup for Conan 2, from the tree in which this recipe lies: conan create packaging/conan"""

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, rmdir
from conan.tools.gnu import PkgConfigDeps

required_conan_version = ">=2.0"


class ErrgroupRecipe(ConanFile):
    name = "errgroup"
    version = "1.0.0-rc.1"
    description = (
        "Task groups that keep the first error, cancel the rest and hold a limit, over oneTBB"
    )
    license = "Apache-2.0"
    topics = ("concurrency", "parallel", "tbb", "errors", "cancellation")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {
        "shared": [True, False],
        "fPIC": [True, False],
        "with_stacktrace": [True, False],
        "with_trace": [True, False],
    }
    default_options = {
        "shared": False,
        "fPIC": True,
        "with_stacktrace": False,
        "with_trace": True,
    }
    implements = ["auto_shared_fpic"]

    def export_sources(self):
        tree = os.path.join(self.recipe_folder, os.pardir, os.pardir)
        for pattern in (
            "CHANGELOG.md",
            "CMakeLists.txt",
            "LICENSE",
            "README.md",
            "SECURITY.md",
            "cmake/*",
            "docs/*",
            "examples/*",
            "gdb/*",
            "include/*",
            "src/*",
            "stacktrace/*",
            "trace/*",
        ):
            copy(self, pattern, src=tree, dst=self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("errgroup needs Linux; other systems were not tried")
        check_min_cppstd(self, 20)

    def requirements(self):
        self.requires("onetbb/[>=2021.8 <2023]", transitive_headers=True, transitive_libs=True)
        if self.options.with_stacktrace:
            self.requires("elfutils/[>=0.186]")

    def build_requirements(self):
        self.tool_requires("cmake/[>=3.25]")
        if self.options.with_stacktrace:
            self.tool_requires("pkgconf/[>=2.0]")

    def generate(self):
        toolchain = CMakeToolchain(self)
        for name, value in {
            "ERRGROUP_BUILD_EXAMPLES": False,
            "ERRGROUP_BUILD_MPI": False,
            "ERRGROUP_BUILD_PERF": False,
            "ERRGROUP_BUILD_STACKTRACE": bool(self.options.with_stacktrace),
            "ERRGROUP_BUILD_TESTS": False,
            "ERRGROUP_BUILD_TRACE": bool(self.options.with_trace),
        }.items():
            toolchain.cache_variables[name] = value
        toolchain.generate()
        CMakeDeps(self).generate()
        if self.options.with_stacktrace:
            PkgConfigDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(
            self,
            "LICENSE",
            src=self.source_folder,
            dst=os.path.join(self.package_folder, "licenses"),
        )
        CMake(self).install()
        # Conan writes files of its own for CMake and pkg-config, from package_info.
        for folder in (("lib", "cmake"), ("lib", "pkgconfig"), ("share", "doc")):
            rmdir(self, os.path.join(self.package_folder, *folder))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "errgroup")

        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "errgroup::errgroup")
        core.set_property("pkg_config_name", "errgroup")
        core.libs = ["errgroup"]
        core.requires = ["onetbb::libtbb"]
        core.system_libs = ["pthread"]
        if self.options.shared:
            core.defines = ["ERRGROUP_SHARED"]

        # A program names nothing in these libraries, so the linker is told to take them in.
        if self.options.with_stacktrace:
            self._add("stacktrace", ["elfutils::libdw", "elfutils::libelf"], ["dl"])
        if self.options.with_trace:
            self._add("trace", [], [])

    def _add(self, name, requires, system_libs):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", f"errgroup::{name}")
        component.set_property("pkg_config_name", f"errgroup-{name}")
        component.libs = [f"errgroup_{name}"]
        component.requires = ["core", *requires]
        component.system_libs = system_libs
        component.exelinkflags = [f"-Wl,--undefined=errgroup_{name}_is_linked"]
        component.sharedlinkflags = component.exelinkflags
