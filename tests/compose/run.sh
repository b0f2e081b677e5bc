#!/usr/bin/env bash
# The whole stack in containers: built from a local base, talked to, killed in every way, and nothing is lost.
#
#   tests/compose/run.sh            BASE_IMAGE=… takes that base instead of one made with debootstrap
#
# Needs a container engine, its compose plugin (2.24 or later), and debootstrap and root for the base. What is missing is said,
# and then nothing is run. No image registry is asked: Synapse and PostgreSQL come from package registries.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped: $*"; exit 0; }
docker info >/dev/null 2>&1 || skip "no container engine answers"
docker compose version >/dev/null 2>&1 || skip "the docker command has no compose plugin"

export COMPOSE_PROJECT_NAME=surface-test-$$
export SURFACE_IMAGE=surface-test/surface:local
export SYNAPSE_IMAGE=surface-test/synapse:local
export POSTGRES_IMAGE=surface-test/postgres:local
export SYNAPSE_PORT=${SYNAPSE_PORT:-18008}
# Neither the client's BuildKit plugin nor its registry is needed.
export DOCKER_BUILDKIT=0

base=${BASE_IMAGE:-surface-test/base:local}
if ! docker image inspect "$base" >/dev/null 2>&1; then
  [ -z "${BASE_IMAGE:-}" ] || skip "there is no image $base"
  if ! command -v debootstrap >/dev/null || [ "$(id -u)" != 0 ]; then
    skip "no image $base, and no debootstrap and root to make it"
  fi
  folder=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder"
  # What this machine trusts, the containers trust: its package registries may be mirrors.
  cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  rm -rf "$folder"/var/lib/apt/lists/* "$folder"/var/cache/apt/archives/*.deb
  tar -C "$folder" -c . | docker import - "$base"
  rm -rf --one-file-system "$folder"
fi

build() { docker build --quiet --build-arg "BASE_IMAGE=$base" "$@"; }
build --file compose/Dockerfile --tag "$SURFACE_IMAGE" .
build --file tests/compose/standins/Dockerfile.synapse --tag "$SYNAPSE_IMAGE" tests/compose/standins
build --file tests/compose/standins/Dockerfile.postgres --tag "$POSTGRES_IMAGE" tests/compose/standins

compose=(docker compose --file compose/docker-compose.fullstack.yml)
end() {
  local code=$?
  [ $code = 0 ] || "${compose[@]}" logs --tail 60 || true
  "${compose[@]}" down --volumes --timeout 60 || true
  exit $code
}
trap end EXIT
"${compose[@]}" up --detach --wait --wait-timeout 300
uv run python -m tests.compose.drive "${compose[@]}"
