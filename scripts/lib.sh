# shellcheck shell=bash
# Functions that scripts/demo, scripts/test and .ci/run share: source it after `set -euo pipefail`. From here on every path
# is relative to the top of the repository.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*"; }
die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# minutes SECONDS: as 7:05.
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# ccache, where it is installed: it has to accept precompiled headers, and takes the files that a source depends on from the
# compiler instead of running the preprocessor first.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros} CCACHE_DEPEND=${CCACHE_DEPEND:-1}
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD}

# The number of compilers to run at once: one per processor, at most one per gigabyte of free memory.
jobs_here() {
  local cores memory
  cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || true)
  if [[ -n $memory && $memory -lt $cores ]]; then cores=$memory; fi
  if ((cores < 1)); then cores=1; fi
  echo "$cores"
}

is_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }
is_installed() { [[ $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]; }

# need_packages build [gate]: what is missing is installed on Debian and Ubuntu, and named elsewhere.
need_packages() {
  if ! is_debian; then
    need_elsewhere "$@"
    return
  fi
  local group package missing=() root=()
  while read -r group package _; do
    [[ " $* " == *" $group "* ]] || continue
    is_installed "$package" || missing+=("$package")
  done < <(grep -v '^#' scripts/packages)
  if ((${#missing[@]} > 0)); then
    say "installing: ${missing[*]}"
    if ((EUID != 0)); then
      command -v sudo >/dev/null || die "No rights to install them and no sudo here. As root, run:" \
        "  apt-get install ${missing[*]}"
      root=(sudo)
    fi
    mkdir -p build
    local install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    if ! { "${install[@]}" update && "${install[@]}" install --no-install-recommends "${missing[@]}"; } >build/apt.log 2>&1; then
      tail -n 5 build/apt.log >&2
      die "apt-get could not install them (all it said: build/apt.log). Install them, then run this again:" \
        "  apt-get install ${missing[*]}"
    fi
  fi
}

# Not Debian: the tools must be there; libraries that are not are fetched by CMake.
need_elsewhere() {
  local missing=()
  command -v "${CXX:-c++}" >/dev/null || missing+=("a C++20 compiler: g++ 12 or clang 16, or newer")
  command -v cmake >/dev/null || missing+=("cmake 3.24 or newer")
  command -v ninja >/dev/null || command -v make >/dev/null || missing+=("ninja or make")
  command -v git >/dev/null || missing+=("git, with which CMake fetches the libraries that are not installed")
  if ! command -v pkg-config >/dev/null; then
    missing+=("pkg-config")
  else
    pkg-config --exists libpcre2-8 || missing+=("PCRE2 with its headers (pcre2, pcre2-devel or libpcre2-dev)")
    pkg-config --exists libutf8proc || missing+=("utf8proc with its headers (utf8proc, utf8proc-devel or libutf8proc-dev)")
  fi
  if [[ " $* " == *" gate "* ]]; then
    local tool
    for tool in clang++-16 clang-tidy-16 python3; do
      command -v "$tool" >/dev/null || missing+=("$tool")
    done
  fi
  ((${#missing[@]} == 0)) || die "This is neither Debian nor Ubuntu, so please install:" "${missing[@]/#/  }"
}

# at_least 3.24 3.25.1
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# The compiler of new build trees: CXX if it is set, else the first that is recent enough.
choose_compiler() {
  [[ -z ${CXX:-} ]] || return 0
  local name version
  for name in g++ g++-12 g++-13 g++-14 clang++-16 clang++-17 clang++-18 clang++-19 clang++ c++; do
    command -v "$name" >/dev/null || continue
    version=$("$name" -dumpfullversion 2>/dev/null || "$name" -dumpversion)
    case $("$name" --version | head -n 1) in
      *clang*) at_least 16 "$version" || continue ;;
      *) at_least 12 "$version" || continue ;;
    esac
    export CXX=$name
    return 0
  done
  die "No compiler here is recent enough: precis is C++20 and needs g++ 12, clang 16 or newer." \
    "Install one (apt-get install g++-12) or name it: CXX=/path/to/g++-12 $0"
}

# configure PRESET [cmake arguments]: quiet unless it fails.
configure() {
  local preset=$1 version generator=()
  shift
  version=$(cmake --version | sed -n '1s/[^0-9]*//p')
  at_least 3.24 "$version" || die "cmake $version is too old; 3.24 is needed (pip install cmake, or https://cmake.org/download)"
  [[ -e build/$preset/CMakeCache.txt ]] || choose_compiler
  if [[ ! -e build/$preset/CMakeCache.txt && -z ${CMAKE_GENERATOR:-} ]] && command -v ninja >/dev/null; then
    generator=(-G Ninja)
  fi
  if [[ -z ${CMAKE_CXX_COMPILER_LAUNCHER:-} ]] && command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
  mkdir -p "build/$preset"
  if ! cmake --preset "$preset" "${generator[@]}" "$@" >"build/$preset/configure.log" 2>&1; then
    cat "build/$preset/configure.log" >&2
    return 1
  fi
}

# build PRESET [targets]: one moving line on a terminal, nothing otherwise; the compiler's messages when it fails.
build() {
  local preset=$1 log=build/$1/build.log targets=() worker
  shift
  (($# == 0)) || targets=(--target "$@")
  cmake --build "build/$preset" --parallel "$(jobs_here)" "${targets[@]}" >"$log" 2>&1 &
  worker=$!
  if [[ -t 1 ]]; then
    while kill -0 "$worker" 2>/dev/null; do
      printf '\r\033[K%s' "$(tail -n 1 "$log" | cut -c "1-$((${COLUMNS:-80} - 1))")"
      sleep 0.5
    done
    printf '\r\033[K'
  fi
  if ! wait "$worker"; then
    grep -vE '^\[|^ninja: Entering' "$log" | head -n 80 >&2 || true
    say "the build failed; all of it: $log" >&2
    return 1
  fi
}

# run_tests PRESET [ctest arguments]: shows failures and skips, then `N passed, N failed, N skipped` over every test
# case of every program. Fails when one failed.
run_tests() {
  local preset=$1 dir=build/$1 result=0
  shift
  rm -f "$dir/tests.xml"
  ctest --test-dir "$dir" --parallel "$(jobs_here)" --no-tests=error --output-on-failure --output-junit "$PWD/$dir/tests.xml" \
    --test-output-size-passed 100000000 --test-output-size-failed 100000000 "$@" >"$dir/tests.log" 2>&1 || result=$?
  if ((result != 0)); then awk '/^ *[0-9]+\/[0-9]+ Test/ { show = /\*\*\*/ } show' "$dir/tests.log" | head -n 200; fi
  [[ -e $dir/tests.xml ]] || die "ctest did not run; all it said: $dir/tests.log"
  awk -f scripts/tally.awk "$dir/tests.xml"
  return "$result"
}

# python_tool PACKAGE VERSION [PROGRAM]: prints the path of a program that PyPI carries, in a virtual environment under build/tools.
python_tool() {
  local package=$1 version=$2 program=${3:-$1} home=build/tools/$1-$2
  if [[ ! -x $home/bin/$program ]]; then
    command -v python3 >/dev/null || die "No python3 here, with which $package $version is installed."
    { python3 -m venv "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check "$package==$version"; } >&2 ||
      die "$package $version could not be installed from PyPI (python3-venv and a network are needed)."
  fi
  echo "$PWD/$home/bin/$program"
}
