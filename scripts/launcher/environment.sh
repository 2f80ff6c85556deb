# Makes .venv from requirements.lock and pyproject.toml if they have changed. Sourced by the scripts beside `launcher/`.
# Afterwards: $root is the checkout, $python its interpreter.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
stamp=$venv/.stamp

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What the environment was made from. The path is in it because a checkout that moved has scripts that point to nothing.
wanted_stamp() {
    printf '%s\n' "$root"
    cat "$root/requirements.lock" "$root/pyproject.toml" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d' ' -f1
}

is_current() {
    [ -x "$python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$1" ]
}

# The first Python that really runs (a version manager's shim may not) and is new enough; one that can make
# environments is preferred.
find_python() {
    local candidate second=
    for candidate in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
        second=${second:-$candidate}
    done
    printf '%s' "$second"
}

install_venv_module() {
    local package
    package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    local install="apt-get install -y --no-install-recommends $package"
    local as_root=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null && as_root="sudo -n" || fail "Python has no venv module. Install it: sudo $install"
    fi
    command -v apt-get >/dev/null || fail "$1 cannot make environments: install its venv and ensurepip modules"
    echo "installing with apt-get: $package"
    { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root $install -o DPkg::Lock::Timeout=300; } \
        >/dev/null || fail "could not install it. Try: $install"
}

make_environment() {
    local base
    if [ ! -x "$python" ] || [ "$(head -n 1 "$stamp" 2>/dev/null)" != "$root" ]; then
        base=$(find_python)
        [ -n "$base" ] || fail "Python 3.11 or newer is needed: apt-get install python3 python3-venv"
        "$base" -c 'import ensurepip, venv' 2>/dev/null || install_venv_module "$base"
        "$base" -m venv --clear "$venv" || fail "$base could not make $venv"
    fi
    install_with_uv || install_with_pip || fail "the packages of requirements.lock could not be installed (see above)"
}

install_with_uv() {
    "$python" -m pip install -q --disable-pip-version-check uv 2>/dev/null || return 1
    local uv="$venv/bin/uv"
    # Compiled once, or each of a dozen processes compiles Ray anew at its start. It leaves lock files in its temporary
    # folder.
    local -x TMPDIR=$venv/tmp
    mkdir -p "$TMPDIR" &&
        "$uv" pip sync -q --compile-bytecode --python "$python" --require-hashes "$root/requirements.lock" &&
        "$uv" pip install -q --python "$python" --no-deps -e "$root" &&
        rm -rf "$TMPDIR"
}

install_with_pip() {
    echo "installing with pip, which takes longer than uv"
    "$python" -m pip install -q --disable-pip-version-check --require-hashes -r "$root/requirements.lock" &&
        "$python" -m pip install -q --disable-pip-version-check --no-deps -e "$root"
}

prepare() {
    local wanted began=$SECONDS
    wanted=$(wanted_stamp)
    is_current "$wanted" && return
    # Two commands at once must not both make it; the lock is on a file that is there already.
    exec 9<"$root/pyproject.toml"
    if command -v flock >/dev/null; then flock 9; fi
    if ! is_current "$wanted"; then
        echo "preparing the Python environment in $venv"
        make_environment
        printf '%s\n' "$wanted" >"$stamp"
        echo "Python environment ready in $((SECONDS - began)) s"
    fi
    exec 9<&-
}

prepare
unset -f fail wanted_stamp is_current find_python install_venv_module make_environment install_with_uv \
    install_with_pip prepare
cd "$root" || exit 1
