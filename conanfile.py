"""The Conan 2 package: headers and the target precis::precis. `conan create .` tries it with packaging/conan."""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load


class Precis(ConanFile):
    name = "precis"
    description = "Information-aware compression of neural networks, header-only C++20"
    license = "Apache-2.0"
    homepage = "https://github.com/precis-compress/precis"
    url = homepage
    topics = ("quantization", "compression", "neural-network", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    exports_sources = "include/*", "LICENSE"
    no_copy_source = True
    test_package_folder = "packaging/conan"

    def set_version(self):
        project = load(self, os.path.join(self.recipe_folder, "CMakeLists.txt"))
        self.version = re.search(r"project\(precis VERSION ([0-9.]+)", project).group(1)

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_id(self):
        self.info.clear()

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "precis")
        self.cpp_info.set_property("cmake_target_name", "precis::precis")
        self.cpp_info.set_property("pkg_config_name", "precis")
