#!/usr/bin/env python3
"""Checks a bundle and the answers in it with Python's own library and ssh-keygen: check_answers.py BUNDLE [ALLOWED_SIGNERS]"""
import hashlib, json, re, subprocess, sys, tarfile, tempfile

def wrong(place, why): sys.exit(ascii(f"{place}: {why}")[1:-1])
def sha256(data): return hashlib.sha256(data).hexdigest()
def canonical(value):  # fractions stay as they are written
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return re.sub(r'"\\u0000n([^"]*)"', r"\1", text).encode()
def no_bundle(kind, error, _): wrong(getattr(error, "filename", None) or sys.argv[1], f"is no bundle, or cannot be read: {kind.__name__}: {error}")
if len(sys.argv) < 2: sys.exit(__doc__)
sys.excepthook = no_bundle
for name in sys.argv[1:]: open(name, "rb").close()
MORE = ("kind", "ledger", "engagement", "nonce", "head", "log", "person", "os_user", "expires")

with tarfile.open(sys.argv[1], "r:") as tar:
    files = {m.name: tar.extractfile(m).read() if m.isfile() else wrong(m.name, "is no plain file") for m in tar}
manifest = json.loads(files.pop("manifest.json", None) or wrong("manifest.json", "is missing"))
listed = {file["path"]: file for file in manifest["files"]}
for path in listed.keys() ^ files.keys(): wrong(path, "is listed or there, not both")
for path, data in files.items():
    if sha256(data) != listed[path]["sha256"] or len(data) != listed[path]["size"]: wrong(path, "was changed")
    if path.startswith("blobs/") and path != f"blobs/{sha256(data)}.json": wrong(path, "is not what its name says")
signed, raised, named = 0, 0, 0
for folder in ("", "trust/"):
    prev, count, asked = "sha256:" + "0" * 64, 0, None
    told, of = files.get(folder + "events.jsonl", b""), "trust" if folder else manifest["engagement"]
    if not told.endswith(b"\n") and told: wrong(folder + "events.jsonl", "ends within an event")
    for line in told.split(b"\n")[:-1]:
        event, count, place = json.loads(line, parse_float=lambda text: "\0n" + text), count + 1, f"{folder}events.jsonl: event {count + 1}"
        if canonical(event) != line: wrong(place, "is not in canonical form")
        before, _, after = line.rpartition(b'"hash":"%s",' % event["hash"].encode())
        if event["hash"] != "sha256:" + sha256(before + after): wrong(place, "does not have the hash that it says")
        if (event["seq"], event["prev"]) != (count, prev): wrong(place, "does not follow the event before it")
        if event["engagement"] != of: wrong(place, f"is of {event['engagement']}, not of {of}")
        before, prev, body = event["prev"], event["hash"], event["body"]
        about, signature, kind = body.get("about"), body.get("signature"), event["kind"]
        if kind == "approval.asked": asked = body.get("once")
        if kind == "approval.asked" and asked and asked["ledger"] != manifest["ledger"]: wrong(place, "was asked in another ledger")
        if not signature:
            named += "person" in event["actor"] and kind in ("approval.answered", "call.redacted", "steps.retried", "engagement.cancelled")
            continue
        kind = "redact" if kind == "call.redacted" else "gate" if isinstance(about, str) else ([k for k in about or {} if k in ("call", "deviation")] or ["answer"])[0]
        name, end = f"{folder}signatures/{count}", re.sub(r"[^0-9]", "", event["at"])[:14] + "Z"
        for end_of in (".json", ".sig", ".allowed_signers"): files.get(name + end_of) or wrong(name + end_of, "is missing")
        if sha256(files[name + ".json"]) != signature["statement"][7:]: wrong(place, "is signed over something else")
        kept = json.loads(files.get(f"blobs/{signature['signers'][7:]}.json") or wrong(place, "names signers that are missing"))
        if (files[name + ".sig"], files[name + ".allowed_signers"]) != (signature["armored"].encode(), kept["text"].encode()):
            wrong(place, "has another signature, or other signers, beside it than it says")
        says, by = json.loads(files[name + ".json"]), event["actor"]["person"]
        if says.get("ledger", manifest["ledger"]) != manifest["ledger"]: wrong(place, "has a signature of another ledger")
        same = all(body.get(name, [] if name == "calls" else None) == said for name, said in says.items() if name not in MORE)
        is_of, said = by["name"], (says["head"], says["person"], says.get("os_user", by["os_user"]), says.get("engagement", of))
        once = "nonce" not in says or asked == {"ledger": says["ledger"], "nonce": says["nonce"]}
        ends = folder or kind == "redact" or body.get("expires") == (says["expires"] if body["answer"] == "approve" else None)
        if not (same and once and ends and said == ({"hash": before, "seq": count - 1}, is_of, by["os_user"], of)):
            wrong(place, "has a signature of another answer")
        if event["at"][:19] > says["expires"][:19]: wrong(place, "has a signature that had ended")
        with tempfile.TemporaryDirectory() as temp:
            for part in (".sig", ".allowed_signers"): open(temp + "/x" + part, "wb").write(files[name + part])
            signers = sys.argv[2] if len(sys.argv) > 2 else temp + "/x.allowed_signers"
            ok = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", signers, "-I", is_of, "-n",
                "countersign-" + ("trust" if folder else kind), "-s", temp + "/x.sig", "-O", "verify-time=" + end],
                input=files[name + ".json"], capture_output=True)
        if ok.returncode: wrong(place, f"has a signature that does not hold against {sys.argv[2] if len(sys.argv) > 2 else 'the signers kept with it'}: " + (ok.stderr + ok.stdout).decode().strip())
        signed, raised = signed + (not folder), raised + bool(folder)
    if not folder and not count: wrong("events.jsonl", "has no event")
    if not folder and (prev, count) != (manifest["head"], manifest["events"]): wrong("manifest.json", "names another end")
for path in ("log/public", "log/proof.json", "log/trust.json"):
    told = files.get(path, b"").decode()
    of = (json.loads(told)["checkpoint"] if told and path.endswith(".json") else told).split("\n")[0].removesuffix("/keys")
    if of and manifest["ledger"] and of != "countersign/" + manifest["ledger"]: wrong(path, "is of another ledger")
print(ascii(f"{manifest['engagement']}: {manifest['events']} events, {signed} signatures, head {manifest['head']}")[1:-1])
if raised: print(f"signatures of trust stages: {raised}")
if named: print(f"answers of people without a signature, on a name alone: {named}")
print("not looked at here: the proofs about the log, what is missing, who had which role, and what the events mean (countersign verify)")
