"""Holds the files in packaging/ to the tree. Run by ctest, or by hand: python3 test/packaging_test.py

Neither vcpkg nor Conan is needed: the portfile and the recipe run with stand-ins for the functions of
these tools, and CMake configures errgroup with the options that they pass.
"""

import ast
import collections
import fnmatch
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
PORT = PACKAGING / "vcpkg/errgroup"
CMAKE = os.environ.get("CMAKE", "cmake")
sys.dont_write_bytecode = True


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def header(name):
    return re.search(rf'#define ERRGROUP_{name} "?([^"\n]*)', text_of("include/errgroup/version.hpp"))[1]


NUMBERS = ".".join(header(f"VERSION_{part}") for part in ("MAJOR", "MINOR", "PATCH"))
VERSION = NUMBERS + header("VERSION_SUFFIX")


def run(*command):
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def options_of_the_tree():
    return set(re.findall(r"option\(\s*(ERRGROUP_\w+)", text_of("CMakeLists.txt")))


def configure(source, folder, options):
    """Configures errgroup, and returns the values of the options in the cache."""
    run(CMAKE, "-S", source, "-B", folder, *options)
    cache = (folder / "CMakeCache.txt").read_text()
    return dict(re.findall(r"^(ERRGROUP_\w+):BOOL=(\w+)$", cache, re.M))


class TemporaryFolder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)


class Versions(unittest.TestCase):
    def test_project(self):
        self.assertEqual(re.search(r"\n  VERSION (\S+)", text_of("CMakeLists.txt"))[1], NUMBERS)

    def test_vcpkg(self):
        manifest = json.loads((PORT / "vcpkg.json").read_text())
        self.assertEqual(manifest["version-semver"], VERSION)

    def test_conan(self):
        recipe = ast.parse(text_of("packaging/conan/conanfile.py"))
        found = [
            ast.literal_eval(line.value)
            for of in recipe.body
            if isinstance(of, ast.ClassDef)
            for line in of.body
            if isinstance(line, ast.Assign) and line.targets[0].id == "version"
        ]
        self.assertEqual(found, [VERSION])

    def test_debian(self):
        # Debian sorts 1.0.0~rc1 before 1.0.0.
        upstream = re.sub(r"-(\w+)\.(\d+)$", r"~\1\2", VERSION)
        changelog = text_of("packaging/debian/changelog")
        self.assertRegex(changelog, rf"\Aerrgroup \({re.escape(upstream)}-\d+\) ")
        library = f"liberrgroup{header('ABI_VERSION')}"
        self.assertIn(f"Package: {library}\n", text_of("packaging/debian/control"))
        self.assertIn(f"dh_makeshlibs -V '{library} (", text_of("packaging/debian/rules"))
        self.assertTrue((PACKAGING / f"debian/{library}.install").is_file())

    def test_documents(self):
        for document in ("CHANGELOG.md", "packaging/README.md"):
            self.assertRegex(text_of(document), rf"(?<![\d.]){re.escape(VERSION)}(?![-\w])")
        for tag in re.findall(r"GIT_TAG (\S+)", text_of("packaging/README.md")):
            self.assertEqual(tag, "v" + VERSION)

    def test_required_versions(self):
        """What the packages say about CMake and oneTBB is what CMakeLists.txt asks for."""
        cmake = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)", text_of("CMakeLists.txt"))[1]
        tbb = re.search(r"find_package\(TBB ([\d.]+)", text_of("CMakeLists.txt"))[1]
        control = text_of("packaging/debian/control")
        self.assertIn(f" cmake (>= {cmake}),", control)
        self.assertEqual(control.count(f" libtbb-dev (>= {tbb}),"), 2)
        recipe = text_of("packaging/conan/conanfile.py")
        self.assertIn(f'"cmake/[>={cmake}]"', recipe)
        self.assertIn(f'"onetbb/[>={tbb} ', recipe)


# Stand-ins for the functions of vcpkg that the portfile calls. They write down what they were asked
# for, and make the tree that the real functions would make.
VCPKG = r"""
cmake_minimum_required(VERSION 3.25)
function(note)
  list(JOIN ARGN "|" line)
  file(APPEND "${NOTES}" "${line}\n")
endfunction()
function(vcpkg_check_features)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUT_FEATURE_OPTIONS" "FEATURES")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_OUT_FEATURE_OPTIONS)
    message(FATAL_ERROR "vcpkg_check_features(${ARGN})")
  endif()
  set(options "")
  while(arg_FEATURES)
    list(POP_FRONT arg_FEATURES feature variable)
    if(feature IN_LIST FEATURES)
      list(APPEND options "-D${variable}=ON")
    else()
      list(APPEND options "-D${variable}=OFF")
    endif()
    note(feature ${feature})
  endwhile()
  set(${arg_OUT_FEATURE_OPTIONS} "${options}" PARENT_SCOPE)
endfunction()
function(vcpkg_find_acquire_program program)
  find_program(found NAMES pkg-config pkgconf REQUIRED)
  set(${program} "${found}" PARENT_SCOPE)
endfunction()
function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vcpkg_cmake_configure(${ARGN})")
  endif()
  note(source "${arg_SOURCE_PATH}")
  note(options ${arg_OPTIONS})
endfunction()
function(vcpkg_cmake_install)
  note(install)
  foreach(in IN ITEMS "" debug/)
    foreach(
      file IN ITEMS
      include/errgroup/group.hpp lib/liberrgroup.a lib/cmake/errgroup/errgroupConfig.cmake
      lib/pkgconfig/errgroup.pc share/doc/errgroup/README.md share/errgroup/gdb/errgroup-gdb.py
    )
      file(WRITE "${CURRENT_PACKAGES_DIR}/${in}${file}" "")
    endforeach()
  endforeach()
endfunction()
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  foreach(in IN ITEMS "" debug/)
    file(GLOB files "${CURRENT_PACKAGES_DIR}/${in}${arg_CONFIG_PATH}/*")
    file(COPY ${files} DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
    file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/${in}lib/cmake")
  endforeach()
endfunction()
function(vcpkg_fixup_pkgconfig)
  note(pkgconfig)
endfunction()
function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  configure_file("${arg_FILE_LIST}" "${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright" COPYONLY)
endfunction()
include("${CURRENT_PORT_DIR}/portfile.cmake")
"""


class Vcpkg(TemporaryFolder):
    MANIFEST = json.loads((PORT / "vcpkg.json").read_text())
    NAME = r"[a-z0-9]+(-[a-z0-9]+)*"

    def check_dependency(self, dependency):
        if isinstance(dependency, dict):
            self.assertLessEqual(
                set(dependency),
                {"name", "host", "features", "default-features", "platform", "version>="},
            )
            dependency = dependency["name"]
        self.assertRegex(dependency, rf"^{self.NAME}$")

    def test_manifest(self):
        fields = set(self.MANIFEST)
        self.assertLessEqual({"name", "version-semver", "description", "license"}, fields)
        self.assertLessEqual(
            fields,
            set("""name version-semver port-version description homepage documentation license supports
            dependencies default-features features""".split()),
        )
        self.assertEqual(self.MANIFEST["name"], PORT.name)
        self.assertIn("Apache License", text_of("LICENSE"))
        self.assertEqual(self.MANIFEST["license"], "Apache-2.0")
        features = self.MANIFEST["features"]
        self.assertLessEqual(set(self.MANIFEST["default-features"]), set(features))
        for dependency in self.MANIFEST["dependencies"]:
            self.check_dependency(dependency)
        for name, feature in features.items():
            self.assertRegex(name, rf"^{self.NAME}$")
            self.assertLessEqual(set(feature), {"description", "dependencies", "supports"})
            self.assertTrue(feature["description"])
            for dependency in feature.get("dependencies", []):
                self.check_dependency(dependency)

    def run_port(self, *features):
        (self.folder / "run.cmake").write_text(VCPKG)
        notes = self.folder / "notes"
        run(
            CMAKE,
            f"-DNOTES={notes}",
            f"-DCURRENT_PORT_DIR={PORT}",
            f"-DCURRENT_PACKAGES_DIR={self.folder / 'packages'}",
            "-DPORT=errgroup",
            f"-DFEATURES={';'.join(features)}",
            "-P",
            self.folder / "run.cmake",
        )
        called = collections.defaultdict(list)
        for line in notes.read_text().splitlines():
            name, *arguments = line.split("|")
            called[name].extend(arguments)
        return called

    def test_port(self):
        for features in ([], ["trace"], ["trace", "stacktrace"]):
            with self.subTest(features=features):
                shutil.rmtree(self.folder)
                self.folder.mkdir()
                called = self.run_port("core", *features)
                self.assertEqual(called["source"], [str(ROOT)])
                self.assertEqual(set(called["feature"]), set(self.MANIFEST["features"]))
                self.assertLessEqual({"install", "pkgconfig"}, set(called))
                asked = re.findall(r"-D(ERRGROUP_\w+)=(ON|OFF)", " ".join(called["options"]))
                self.assertLessEqual({name for name, _ in asked}, options_of_the_tree())
                self.assertEqual(
                    {name for name, on in asked if on == "ON"},
                    {f"ERRGROUP_BUILD_{feature.upper()}" for feature in features},
                )
                if features != ["trace", "stacktrace"] or self.has_libdw():
                    values = configure(ROOT, self.folder / "build", called["options"])
                    self.assertEqual({name: values[name] for name, _ in asked}, dict(asked))

                packages = self.folder / "packages"
                there = {str(p.relative_to(packages)) for p in packages.rglob("*") if p.is_file()}
                self.assertEqual(
                    there,
                    {
                        "debug/lib/liberrgroup.a",
                        "debug/lib/pkgconfig/errgroup.pc",
                        "include/errgroup/group.hpp",
                        "lib/liberrgroup.a",
                        "lib/pkgconfig/errgroup.pc",
                        "share/errgroup/copyright",
                        "share/errgroup/errgroupConfig.cmake",
                        "share/errgroup/gdb/errgroup-gdb.py",
                        "share/errgroup/usage",
                    },
                )

    def has_libdw(self):
        return subprocess.run(["pkg-config", "--exists", "libdw", "libelf"]).returncode == 0

    def test_usage_names_targets_that_are_there(self):
        usage = (PORT / "usage").read_text()
        self.assertEqual(
            set(re.findall(r"errgroup::\w+", usage)),
            {"errgroup::errgroup", "errgroup::stacktrace", "errgroup::trace"},
        )


def stand_ins_for_conan(copied):
    """Modules with the names that the recipe imports from Conan."""

    class Variables(dict):
        made = []

    class CMakeToolchain:
        def __init__(self, _):
            self.cache_variables = Variables()
            Variables.made.append(self.cache_variables)

        def generate(self):
            pass

    class Generator:
        def __init__(self, _):
            pass

        def generate(self):
            pass

    class Component:
        def __init__(self):
            self.properties = {}
            self.libs = self.requires = self.defines = self.exelinkflags = []

        def set_property(self, name, value):
            self.properties[name] = value

    class ConanFile:
        def __init__(self, **options):
            self.settings = types.SimpleNamespace(os="Linux")
            self.options = types.SimpleNamespace(**{**self.default_options, **options})
            self.required = []
            self.cpp_info = Component()
            self.cpp_info.components = collections.defaultdict(Component)

        def requires(self, reference, **_):
            self.required.append(reference)

        tool_requires = requires

    def copy(_, pattern, src, dst):
        # As Conan's: the pattern is compared with the path, and "*" is "/" as well.
        for path in pathlib.Path(src).resolve().rglob("*"):
            relative = path.relative_to(pathlib.Path(src).resolve())
            hidden = {"build", ".git", "out"} & set(relative.parts[:1])
            if path.is_file() and not hidden and fnmatch.fnmatch(str(relative), pattern):
                to = pathlib.Path(dst) / relative
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
                copied.append(str(relative))

    class ConanInvalidConfiguration(Exception):
        pass

    contents = {
        "conan": {"ConanFile": ConanFile},
        "conan.errors": {"ConanInvalidConfiguration": ConanInvalidConfiguration},
        "conan.tools": {},
        "conan.tools.build": {"check_min_cppstd": lambda _, __: None, "can_run": lambda _: True},
        "conan.tools.cmake": {
            "CMake": Generator,
            "CMakeDeps": Generator,
            "CMakeToolchain": CMakeToolchain,
            "cmake_layout": lambda _: None,
        },
        "conan.tools.files": {"copy": copy, "rmdir": lambda *_: None},
        "conan.tools.gnu": {"PkgConfigDeps": Generator},
    }
    modules = {}
    for name, members in contents.items():
        modules[name] = types.ModuleType(name)
        vars(modules[name]).update(members)
    return modules, Variables.made


class Conan(TemporaryFolder):
    def setUp(self):
        super().setUp()
        self.copied = []
        modules, self.variables = stand_ins_for_conan(self.copied)
        before = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        self.addCleanup(self.restore, before)

    def restore(self, before):
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

    def load(self, path):
        spec = importlib.util.spec_from_file_location("recipe", PACKAGING / "conan" / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def recipe(self, **options):
        recipe = self.load("conanfile.py").ErrgroupRecipe(**options)
        recipe.recipe_folder = str(PACKAGING / "conan")
        recipe.export_sources_folder = str(self.folder / "source")
        return recipe

    def test_the_test_package_loads(self):
        self.load("test_package/conanfile.py")
        self.assertTrue((PACKAGING / "conan/test_package/consumer.cpp").is_file())

    def test_options_are_those_of_the_tree(self):
        for on in (False, True):
            recipe = self.recipe(with_stacktrace=on, with_trace=not on)
            recipe.validate()
            recipe.requirements()
            recipe.build_requirements()
            recipe.generate()
            asked = self.variables[-1]
            self.assertLessEqual(set(asked), options_of_the_tree())
            self.assertEqual(asked["ERRGROUP_BUILD_STACKTRACE"], on)
            self.assertEqual(asked["ERRGROUP_BUILD_TRACE"], not on)
            self.assertEqual(any(r.startswith("elfutils/") for r in recipe.required), on)

    def test_exported_sources_configure(self):
        recipe = self.recipe()
        recipe.export_sources()
        recipe.generate()
        self.assertIn("LICENSE", self.copied)
        self.assertFalse([name for name in self.copied if name.startswith(("test/", "perf/"))])
        options = [f"-D{n}={'ON' if v else 'OFF'}" for n, v in self.variables[-1].items()]
        values = configure(self.folder / "source", self.folder / "build", options)
        self.assertEqual(values["ERRGROUP_BUILD_TRACE"], "ON")

    def test_components_are_the_targets_of_the_tree(self):
        recipe = self.recipe(with_stacktrace=True, shared=True)
        recipe.package_info()
        components = recipe.cpp_info.components
        self.assertEqual(
            {c.properties["cmake_target_name"]: c.libs for c in components.values()},
            {
                "errgroup::errgroup": ["errgroup"],
                "errgroup::stacktrace": ["errgroup_stacktrace"],
                "errgroup::trace": ["errgroup_trace"],
            },
        )
        self.assertEqual(components["core"].defines, ["ERRGROUP_SHARED"])
        for name in ("stacktrace", "trace"):
            (flag,) = components[name].exelinkflags
            symbol = flag.split("=")[1]
            self.assertIn(f"LINKER:--undefined={symbol}", text_of(f"{name}/CMakeLists.txt"))


if __name__ == "__main__":
    unittest.main()
