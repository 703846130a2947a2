#!/usr/bin/env bash
# Checks the Dockerfile and the Kubernetes manifests, without a daemon and without a cluster.
# Ends with 0 only if every manifest is valid strictly: a field the schema does not know is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=${KUBERNETES_VERSION:-1.33}
venv=../.build/venv-docker
if [[ ! -e $venv/installed || requirements.txt -nt $venv/installed ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
    touch "$venv/installed"
fi

check() { "$venv/bin/kubernetes-validate" --strict -k "$version" "$@"; }

"$venv/bin/hadolint" Dockerfile
echo "Dockerfile: no findings"

# A checker that cannot fail checks nothing: a misspelt field has to be refused.
if sed 's/serviceName:/serviceNam:/' kubernetes/site/statefulset.yaml | check /dev/stdin >/dev/null 2>&1; then
    echo "validate.sh: a misspelt field passed" >&2
    exit 1
fi

manifests=(kubernetes/*/*.yaml)
check "${manifests[@]}"
echo "Kubernetes $version: ${#manifests[@]} manifests valid"
