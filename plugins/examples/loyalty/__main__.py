"""The adapter of a loyalty programme's feed: JSON messages about members and their points.

    {"event": "member.updated", "program": "stars", "sequence": 17, "at": "2026-03-01T10:00:00Z",
     "member": {"id": 4711, "first": "Ana", "last": "Lima", "email": "ana@example.com", "tier": "gold", "points": 1200}}
    {"event": "points.earned", "program": "stars", "sequence": 18, "at": "2026-03-01T11:00:00Z",
     "member": {"id": 4711}, "points": 50, "receipt": "R-1"}

docs/plugins.md says how it becomes one file that can be pinned.
"""

import datetime
import json

from plugin import Refused, serve

ABOUT = {"name": "loyalty", "version": "1.0.0", "domain": "marketing", "events": ["member.updated", "points.earned"]}


def member(tree, path, kind, needed=True):
    """Answer the member at a path, of a kind; None where it may be missing and is."""
    value = tree
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None and not needed:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        what = {str: "a text", int: "a whole number", dict: "an object"}[kind]
        raise Refused("schema", "this must be " + what + ": mend it at the source", path)
    return value


def instant(tree, path):
    text = member(tree, path, str)
    try:
        at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return at.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise Refused("schema", "this is not a time of RFC 3339: mend it at the source", path) from None


def state(path, text):
    if text is None or text == "":
        return {"path": path, "state": "cleared"}
    return {"path": path, "state": "set", "value": text}


def of_member(tree, key, program):
    number = {"type": "loyaltyNumber", "value": key, "issuer": program, "strength": "S3"}
    card = {"programName": program, "membershipNumber": key}
    for name, path in (("tier", "member.tier"), ("pointsBalance", "member.points")):
        value = member(tree, path, int if name == "pointsBalance" else str, needed=False)
        if value not in (None, ""):
            card[name] = str(value)
    email = member(tree, "member.email", str, needed=False)
    party = [
        state("givenName", member(tree, "member.first", str, needed=False)),
        state("familyName", member(tree, "member.last", str, needed=False)),
        state("email", email and email.strip().lower()),
        {"path": "identifier[loyalty]", "state": "set", "value": number},
        {"path": "loyaltyMembership", "state": "set", "value": card},
    ]
    return {"op": "upsert", "party": party}


def of_points(tree, at):
    receipt = member(tree, "receipt", str)
    title = str(member(tree, "points", int)) + " points"
    return {"op": "patch", "interactions": [{"key": "points:" + receipt, "type": "loyaltyEvent", "occurredAt": at, "title": title}]}


def map_record(record):
    if record["value"] is None:
        raise Refused("null", "a message without a value says nothing in this feed", ignored=True)
    try:
        tree = json.loads(record["value"].decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused("decode", "this is not JSON in UTF-8: mend it at the source") from None
    event = member(tree, "event", str)
    if event not in ABOUT["events"]:
        raise Refused("event", "this feed's adapter does not take events of this kind", ignored=True)
    key, at, program = str(member(tree, "member.id", int)), instant(tree, "at"), member(tree, "program", str)
    sequence = member(tree, "sequence", int)
    if sequence < 0:
        raise Refused("schema", "this must not be negative: mend it at the source", "sequence")
    change = of_member(tree, key, program) if event == "member.updated" else of_points(tree, at)
    change["key"], change["at"] = key, at
    change["version"] = {"source": {"kind": "sequence", "value": str(sequence), "scope": event.split(".")[0]}}
    try:
        return json.dumps([change], ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Refused("decode", "a text has half of a surrogate pair: mend it at the source") from None


if __name__ == "__main__":
    serve(ABOUT, map_record)
