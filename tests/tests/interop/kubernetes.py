"""Validates objects of Kubernetes against its schemas, and prints them as JSON.

Standard input is a JSON object of texts in YAML by name; standard output the same with lists of
objects. Arguments are the versions of Kubernetes. Kinds of operators have no schema there: they are
named below, and another kind without a schema is a fault.
"""

import json
import sys

import kubernetes_validate
import yaml

OF_OPERATORS = {"PrometheusRule", "ServiceMonitor", "SeccompProfile"}


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses a key that a mapping has twice: the last one would win without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key is there twice: {keys}")
        return super().construct_mapping(node, deep)


def main():
    sets = {
        name: [it for it in yaml.load_all(text, Loader=Loader) if it]
        for name, text in json.load(sys.stdin).items()
    }
    faults = 0
    seen = set()
    for name, objects in sets.items():
        for it in objects:
            text = json.dumps(it, sort_keys=True)
            if it["kind"] in OF_OPERATORS or text in seen:
                continue
            seen.add(text)
            for version in sys.argv[1:]:
                try:
                    kubernetes_validate.validate(it, version, strict=True)
                except Exception as error:  # each kind of fault is one of the chart
                    faults += 1
                    message = getattr(error, "message", error)
                    print(f"{name}: {it['kind']} for {version}: {message}", file=sys.stderr)
    json.dump(sets, sys.stdout)
    return faults > 0


sys.exit(main())
