#!/usr/bin/env python3
"""Checks the hashes, the order and the signatures of a bundle: check_bundle.py BUNDLE ALLOWED_SIGNERS"""
import hashlib, json, re, subprocess, sys, tarfile, tempfile
def check(holds, place, why): holds or sys.exit(f"{place}: {why}")
def sha256(data): return "sha256:" + hashlib.sha256(data).hexdigest()
bundle, signers = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
with tarfile.open(bundle, "r:") as tar: files = {file.name: tar.extractfile(file).read() for file in tar}
manifest, signed, head = json.loads(files.pop("manifest.json")), 0, {"hash": "sha256:" + "0" * 64, "seq": 0}
listed = {file["path"]: "sha256:" + file["sha256"] for file in manifest["files"]}
for path in listed.keys() | files.keys():
    check(path in files and listed.get(path) == sha256(files[path]), path, "is not what the manifest lists")
for line in files["events.jsonl"].splitlines():
    event, place = json.loads(line), f"events.jsonl: event {head['seq'] + 1}"
    before, _, after = line.rpartition(b'"hash":"%s",' % event["hash"].encode())
    check(event["hash"] == sha256(before + after), place, "does not have the hash that it says")
    check({"hash": event["prev"], "seq": event["seq"] - 1} == head, place, "does not follow the event before it")
    if signature := event["body"].get("signature"):
        statement, person = files[f"signatures/{event['seq']}.json"], event["actor"]["person"]["name"]
        says, is_so = json.loads(statement), {"calls": [], **event["body"], "head": head, "person": person, "engagement": manifest["engagement"]}
        same = all(is_so[name] == says[name] for name in {"head", "person"} | is_so.keys() & says.keys() - {"expires"})
        check(same and sha256(statement) == signature["statement"], place, "is signed over something else")
        kind = "".join(event["body"].get("about", "redact")).rstrip("12").replace("failure", "answer").replace("unknown", "answer")
        armored, time = tempfile.NamedTemporaryFile(buffering=0), re.sub("[^0-9]", "", event["at"])[:14] + "Z"
        armored.write(signature["armored"].encode())
        verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", person, "-n", "countersign-" + kind, "-s", armored.name]
        said, signed = subprocess.run(verify + ["-O", "verify-time=" + time], input=statement, capture_output=True), signed + 1
        check(said.returncode == 0, place, "has a signature that does not hold: " + (said.stderr + said.stdout).decode().strip())
    head = {"hash": event["hash"], "seq": event["seq"]}
check(head == {"hash": manifest["head"], "seq": manifest["events"]}, "manifest.json", "names another end")
print(f"{manifest['engagement']}: {head['seq']} events, {signed} signatures, head {head['hash']}")
