#!/usr/bin/env bash
# Runs the image under a container runtime, with the list of system calls beside this script:
#
#   ./deploy/docker/test.sh PROGRAM
#
# The container is read-only, its user has no rights, and the health check is that of the
# Dockerfile. It must drain on SIGTERM and end with 0. Without the calls of io_uring, which the
# default lists of Docker and containerd lack, it must end with 78 and name the list to use. It
# needs root, curl, python3 and runc (or another runtime with its options, in RUNTIME), and no
# registry.
set -euo pipefail

if (($# != 1)); then
    echo "usage: $0 PROGRAM" >&2
    exit 2
fi
readonly program=$1 runtime=${RUNTIME:-runc}
readonly address=127.0.0.1:18080
here=$(cd "$(dirname "$0")" && pwd)
readonly here
bundle=$(mktemp -d)
readonly bundle
readonly container=corelane-test-$$
end() {
    "$runtime" delete --force "$container" >/dev/null 2>&1 || true
    rm -rf "$bundle"
}
trap end EXIT

say() {
    printf '\n== %s\n' "$*"
}

# configure PRIVILEGES LEFT_OUT: a configuration without the system calls that begin with LEFT_OUT.
configure() {
    rm -f "$bundle/config.json"
    "$runtime" spec --bundle "$bundle"
    python3 - "$bundle/config.json" "$here" "$address" "$@" <<'PYTHON'
import json
import re
import sys

path, here, address, privileges, left_out = sys.argv[1:]
with open(f"{here}/seccomp.json") as file:
    rules = json.load(file)
with open(f"{here}/Dockerfile") as file:
    user, group = re.search(r"^USER (\d+):(\d+)$", file.read(), re.MULTILINE).groups()
for rule in rules["syscalls"]:
    rule["names"] = [name for name in rule["names"] if not name.startswith(left_out)]
with open(path) as file:
    spec = json.load(file)
process = spec["process"]
process["terminal"] = False
process["user"] = {"uid": int(user), "gid": int(group)}
process["args"] = ["/usr/bin/corelane", "serve", "--demo", "conformance", "--listen", address]
process["capabilities"] = {}
process["noNewPrivileges"] = privileges == "no-new"
spec["root"] = {"path": "rootfs", "readonly": True}
linux = spec["linux"]
linux["seccomp"] = rules
# The caller reaches the server over its own loopback.
linux["namespaces"] = [space for space in linux["namespaces"] if space["type"] != "network"]
with open(path, "w") as file:
    json.dump(spec, file)
PYTHON
}

# With and without no-new-privileges the runtime loads the list at different times.
"$here/collect.sh" "$program" "$bundle/rootfs"
for privileges in no-new kept; do
    say "start, with privileges $privileges"
    configure "$privileges" -
    "$runtime" run --bundle "$bundle" "$container" >"$bundle/log" 2>&1 &
    runs=$!
    curl --silent --fail --retry 50 --retry-delay 1 --retry-connrefused \
        "http://$address/ready" >/dev/null || { cat "$bundle/log" && exit 1; }
    "$runtime" exec "$container" /usr/bin/corelane probe --live "http://$address"
    say "drain"
    "$runtime" kill "$container" TERM
    wait "$runs" || { cat "$bundle/log" && exit 1; }
    "$runtime" delete --force "$container" 2>/dev/null || true
done

say "without io_uring"
configure no-new io_uring
code=0
timeout 60 "$runtime" run --bundle "$bundle" "$container" >"$bundle/log" 2>&1 || code=$?
cat "$bundle/log"
if ((code != 78)) || ! grep -q seccomp "$bundle/log"; then
    echo "$0: exit code $code instead of 78, or a log that does not name seccomp" >&2
    exit 1
fi
say "the image is as it should be"
