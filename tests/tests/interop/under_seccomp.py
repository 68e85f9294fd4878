"""Runs a program under a list of system calls of a container runtime.

    under_seccomp.py LIST LEFT_OUT PROGRAM [ARGUMENT...]

LIST is a file in the format of Docker and of the OCI runtime specification, with one set of allowed
calls, of which those that start with LEFT_OUT are refused as well ("-" for none).
"""

import json
import os
import sys

import seccomp

path, left_out, *command = sys.argv[1:]
with open(path) as file:
    rules = json.load(file)
assert rules["defaultAction"] == "SCMP_ACT_ERRNO"
calls = seccomp.SyscallFilter(seccomp.ERRNO(rules["defaultErrnoRet"]))
for rule in rules["syscalls"]:
    assert rule["action"] == "SCMP_ACT_ALLOW" and set(rule) == {"names", "action"}
    for name in rule["names"]:
        if not name.startswith(left_out):
            calls.add_rule(seccomp.ALLOW, name)
calls.load()
os.execv(command[0], command)
