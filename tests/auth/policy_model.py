"""A second reading of the rules of policies, written from their description alone.

Reads one case a line, {policy, claims, entries}, and prints a line of decisions for each:
"allowed", "hidden", or the scopes to name. It shares no code with the server.
"""

import ipaddress, json, re, sys, tomllib


def closure(scopes, implies):
    reached, rest = set(), list(scopes)
    while rest:
        scope = rest.pop()
        if scope not in reached:
            reached.add(scope)
            rest += implies.get(scope, [])
    return reached


def has_role(role, claims, scopes):
    lists = {
        "claim_roles": claims["roles"],
        "groups": claims["groups"],
        "subjects": [claims["subject"]],
        "issuers": [claims["issuer"]],
        "clients": [claims["client"]],
        "methods": [claims["method"]],
    }
    return (
        all(set(role[key]) & set(names) for key, names in lists.items() if key in role)
        and set(role.get("scopes", [])) <= scopes
        and role.get("tenant", claims["tenant"]) == claims["tenant"]
    )


def matches(pattern, kind, name):
    if kind != "resources":
        return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None
    if pattern in ("*", "**"):
        return True
    text = re.escape(pattern).replace(r"/\*\*", "(/.*)?").replace(r"\*", "[^/]*")
    return re.fullmatch(text, name) is not None


def applies(rule, claims, roles, kind, name, is_deny):
    if rule["role"] not in roles or rule.get("tenant", claims["tenant"]) != claims["tenant"]:
        return False
    if "addresses" in rule:
        address = claims["address"] and ipaddress.ip_address(claims["address"])
        networks = [ipaddress.ip_network(text) for text in rule["addresses"]]
        if not (any(address in it for it in networks) if address else is_deny):
            return False
    return any(matches(pattern, kind, name) for pattern in rule.get(kind, []))


def decide(policy, claims, kind, name):
    scopes = closure(claims["scopes"], policy.get("auth", {}).get("scope_implies", {}))
    roles = {it["name"] for it in policy.get("role", []) if has_role(it, claims, scopes)}
    roles |= {"anonymous"} if claims["method"] == "anonymous" else set()
    if any(applies(it, claims, roles, kind, name, True) for it in policy.get("deny", [])):
        return "hidden"
    if policy.get("policy", {}).get("default") == "authenticated" and "anonymous" not in roles:
        return "allowed"
    grants = policy.get("grant", [])
    needs = [it.get("scopes", []) for it in grants if applies(it, claims, roles, kind, name, False)]
    if not needs:
        return "hidden"
    need = min(needs, key=lambda need: len(set(need) - scopes))
    return "allowed" if set(need) <= scopes else " ".join(dict.fromkeys(need))


for line in sys.stdin:
    case = json.loads(line)
    policy = tomllib.loads(case["policy"])
    print(json.dumps([decide(policy, case["claims"], *entry) for entry in case["entries"]]))
