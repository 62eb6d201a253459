"""Checks the hashes, the order and the signatures of a bundle: check_bundle.py BUNDLE ALLOWED_SIGNERS"""
import hashlib, json, re, subprocess, sys, tarfile, tempfile
OF_QUESTION, KINDS = {"kind", "ledger", "nonce", "log", "expires"}, {"failure": "answer", "unknown": "answer"}
def check(holds, place, why): holds or sys.exit(f"{place}: {why}")
def sha256(data): return "sha256:" + hashlib.sha256(data).hexdigest()
bundle, signers = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
files = {file.name: tar.extractfile(file).read() for tar in [tarfile.open(bundle, "r:")] for file in tar}
manifest, signed, head = json.loads(files.pop("manifest.json")), 0, {"hash": "sha256:" + "0" * 64, "seq": 0}
listed = {file["path"]: "sha256:" + file["sha256"] for file in manifest["files"]}
for path in {*listed, *files}: check(path in files and listed.get(path) == sha256(files[path]), path, "is not what is listed")
for path in listed: check(path[:6] != "blobs/" or path == f"blobs/{listed[path][7:]}.json", path, "is not what its name says")
for line in files["events.jsonl"].splitlines():
    event, place = json.loads(line), f"events.jsonl: event {head['seq'] + 1}"
    without = b"".join(line.rpartition(b'"hash":"%s",' % event["hash"].encode())[::2])
    check(event["hash"] == sha256(without), place, "does not have the hash that it says")
    after = (manifest["engagement"], head["hash"], head["seq"] + 1)
    check((event["engagement"], event["prev"], event["seq"]) == after, place, "does not follow the event before it")
    if signature := event["body"].get("signature"):
        statement, by = files[f"signatures/{event['seq']}.json"], event["actor"]["person"]
        says, is_so = json.loads(statement), {"calls": [], **event, **event["body"], "head": head, "person": by["name"], "os_user": by["os_user"]}
        same = {"head", "person"} <= says.keys() and all(is_so.get(name) == says[name] for name in says.keys() - OF_QUESTION)
        check(same and sha256(statement) == signature["statement"], place, "is signed over something else")
        kind, armored = "".join(is_so.get("about", "redact")).rstrip("12"), tempfile.NamedTemporaryFile(buffering=0)
        when, of = "verify-time=" + re.sub("[^0-9]", "", event["at"])[:14] + "Z", "countersign-" + KINDS.get(kind, kind)
        verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", by["name"], "-n", of, "-O", when, "-s", armored.name]
        said = armored.write(signature["armored"].encode()) and subprocess.run(verify, input=statement, capture_output=True)
        check(said.returncode == 0, place, "has a signature that does not hold: " + (said.stderr + said.stdout).decode().strip())
    head, signed = {"hash": event["hash"], "seq": event["seq"]}, signed + bool(signature)
check(head == {"hash": manifest["head"], "seq": manifest["events"]}, "manifest.json", "names another end")
print(f"{manifest['engagement']}: {head['seq']} events, {signed} signatures, head {head['hash']}")
