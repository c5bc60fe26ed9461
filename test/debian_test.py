"""Builds the Debian packages, and uses them as a user would: test/debian_test.py FOLDER

While the packages are built in FOLDER, mmdebstrap makes a new root with a compiler and CMake in it. The
packages are installed there, so that apt has to find what they depend on; debian/tests/consumer
builds and runs programs with them; they are removed, and nothing of them may be left. lintian checks
them outside.

The exit status is 77, with the reason, where no such root can be made: ctest then says "skipped".
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "packaging/build-debian"

# What is done with the new root, which is $1. mmdebstrap calls this before it deletes the root. The
# first line of the pipe says how the build of the packages ended.
HOOK = r"""#!/bin/sh
set -eu
touch "$FOLDER/root-is-made"
read -r built <"$FOLDER/built"
[ "$built" = ok ] || exit 1

mkdir "$1/packages"
cp "$FOLDER"/packages/liberrgroup1_*.deb "$FOLDER"/packages/liberrgroup-dev_*.deb "$1/packages/"
cp "$TESTS/consumer" "$1/packages/"

cat >"$1/packages/try" <<'CODE'
set -eux
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt-get -qq install --no-install-recommends /packages/*.deb

mkdir /packages/work
AUTOPKGTEST_TMP=/packages/work /packages/consumer

# Files and folders of the packages, less what other packages have, too.
dpkg -L liberrgroup1 liberrgroup-dev | sort -u >/packages/listed
dpkg --purge liberrgroup-dev liberrgroup1
while read -r path; do
  case $path in "" | /.) continue ;; esac
  if [ -e "$path" ] && ! dpkg -S "$path" >/dev/null 2>&1; then
    echo "left after the packages were removed: $path"
    exit 1
  fi
done </packages/listed
found=$(find / -xdev -path /proc -prune -o -path /sys -prune -o -path /packages -prune -o \
  -path /var/log -prune -o -path /var/cache -prune -o -name '*errgroup*' -print)
if [ -n "$found" ]; then
  echo "left after the packages were removed: $found"
  exit 1
fi
test -s /packages/listed
CODE
chroot "$1" sh /packages/try
touch "$FOLDER/tried"
"""


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def say(begin, what):
    print(f"{time.monotonic() - begin:5.0f} s  {what}", flush=True)


def mode():
    """How mmdebstrap may change its root."""
    if os.geteuid() == 0:
        return "root"
    if not shutil.which("newuidmap"):
        skip("not root, and newuidmap (Debian: uidmap) is missing, without which root is not to be had")
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True
    )
    if tried.returncode != 0:
        skip(f"neither root nor a user namespace is to be had: {tried.stderr.strip()}")
    return "unshare"


def sources():
    """The files that tell apt its sources, of this system."""
    files = [pathlib.Path("/etc/apt/sources.list")]
    parts = pathlib.Path("/etc/apt/sources.list.d")
    files += sorted([*parts.glob("*.list"), *parts.glob("*.sources")])
    files = [str(file) for file in files if file.is_file() and file.stat().st_size]
    if not files:
        skip("this system has no sources for apt")
    return files


def codename():
    with contextlib.suppress(FileNotFoundError), open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.strip().partition("=")
            if name == "VERSION_CODENAME":
                return value.strip('"')
    skip("/etc/os-release names no release")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: test/debian_test.py FOLDER")
    for tool in ("mmdebstrap", "dpkg-buildpackage", "dh", "lintian", "apt-config"):
        if not shutil.which(tool):
            skip(f"{tool} is missing; scripts/setup installs it")
    how, release, apt_sources = mode(), codename(), sources()

    begin = time.monotonic()
    folder = pathlib.Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "packages").mkdir(parents=True)
    # In mode `unshare` the hook is another user, who writes its answers there.
    folder.chmod(0o777 if how == "unshare" else 0o755)
    os.mkfifo(folder / "built")
    (folder / "hook").write_text(HOOK)
    (folder / "hook").chmod(0o755)
    # apt's own settings, its proxy above all, go into the root, too.
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    settings = [line for line in dump.splitlines() if line.startswith("Acquire::")]
    (folder / "apt.conf").write_text("\n".join(settings) + "\n")

    log = open(folder / "root.log", "w+", encoding="utf-8")  # noqa: SIM115
    setup = ['--setup-hook=mkdir -p "$1/etc/apt" && cp -r /etc/apt/auth.conf.d "$1/etc/apt/"']
    if not os.path.isdir("/etc/apt/auth.conf.d"):
        setup = []
    root = subprocess.Popen(
        [
            "mmdebstrap",
            f"--mode={how}",
            "--variant=apt",
            "--format=null",
            "--include=cmake,g++,make,pkg-config",
            f"--aptopt={folder / 'apt.conf'}",
            *setup,
            f"--customize-hook={folder / 'hook'}",
            release,
            "/dev/null",
            *apt_sources,
        ],
        env=dict(os.environ, FOLDER=str(folder), TESTS=str(ROOT / "packaging/debian/tests")),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )

    # Open for reading, too: so neither side waits for the other to open the pipe.
    with open(folder / "built", "r+b", buffering=0) as built:
        with open(folder / "build.log", "w", encoding="utf-8") as build_log:
            build = subprocess.run(
                [BUILD, folder / "packages"],
                stdin=subprocess.DEVNULL,
                stdout=build_log,
                stderr=subprocess.STDOUT,
            )
        say(begin, "the packages are built" if build.returncode == 0 else "the build has failed")
        built.write(b"ok\n" if build.returncode == 0 else b"failed\n")

        lint = None
        if build.returncode == 0:
            lint = subprocess.run(
                [
                    "lintian",
                    "--allow-root",
                    "--fail-on=error,warning",
                    # The packages are not uploaded to Debian, where this bug would be filed.
                    "--suppress-tags=initial-upload-closes-no-bugs",
                    *sorted((folder / "packages").glob("*.changes")),
                ],
                capture_output=True,
                text=True,
            )
            say(begin, f"lintian ends with {lint.returncode}")
        root.wait()
        say(begin, f"the root ends with {root.returncode}")

    if build.returncode != 0:
        print((folder / "build.log").read_text()[-6000:])
        sys.exit("FAILED: packaging/build-debian")
    if lint.returncode != 0:
        print(lint.stdout, lint.stderr)
        sys.exit("FAILED: lintian")
    log.seek(0)
    printed = log.read()
    if not (folder / "root-is-made").exists():
        print(printed[-3000:])
        skip("the packages are built and checked, but mmdebstrap could not make a new root (above)")
    if root.returncode != 0 or not (folder / "tried").exists():
        print(printed[-6000:])
        sys.exit("FAILED: the packages in the new root")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
