#!/usr/bin/env bash
# Builds the container image with buildah, which needs no daemon.
#   docker/build.sh [NAME]        the image's name, localhost/causeway:dev unless given
# Environment:
#   SWIFT_IMAGE, RUNTIME_IMAGE    base images, where the official ones cannot be reached
#   BUILDAH_ROOT                  where layers are kept; the user's own storage unless given
#   BUILDAH_MOUNTS                folders to mount into the build, "HOST:INSIDE:ro" separated by spaces
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1:-localhost/causeway:dev}
if ! command -v buildah >/dev/null; then
    echo "installing buildah"
    if ((EUID == 0)); then root=(); else root=(sudo); fi
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        buildah crun runc fuse-overlayfs >/dev/null
fi

# Without the right to make namespaces (in a container, in CI) chroot isolation is what works.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
storage=()
if [[ -n ${BUILDAH_ROOT:-} ]]; then
    # The driver has to be named once a root is: the environment's is ignored then.
    storage=(--storage-driver "${STORAGE_DRIVER:-overlay}" --root "$BUILDAH_ROOT/storage" --runroot "$BUILDAH_ROOT/run")
fi
arguments=()
if [[ -n ${SWIFT_IMAGE:-} ]]; then arguments+=(--build-arg "SWIFT_IMAGE=$SWIFT_IMAGE"); fi
if [[ -n ${RUNTIME_IMAGE:-} ]]; then arguments+=(--build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE"); fi
for mount in ${BUILDAH_MOUNTS:-}; do arguments+=(--volume "$mount"); done

# The docker format keeps HEALTHCHECK and STOPSIGNAL.
buildah "${storage[@]}" bud --format docker "${arguments[@]}" --file docker/Dockerfile --tag "$name" .
buildah "${storage[@]}" images --filter "reference=$name"
