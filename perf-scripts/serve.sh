#!/usr/bin/env bash
# Builds the server and runs it on 127.0.0.1:8080: ./perf-scripts/serve.sh [SERVE OPTION]...
#
# The same as `cargo run --release -- serve`, but installs a C compiler first if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. perf-scripts/requirements.sh

require_cargo
install_missing_packages
exec cargo run --release --locked -- serve "$@"
