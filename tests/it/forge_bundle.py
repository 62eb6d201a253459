"""Makes a bundle anew with something done to it and a manifest that is right about it: FORGERY BUNDLE FORGED"""
import hashlib, io, json, subprocess, sys, tarfile, tempfile

forgery, source, target = sys.argv[1:]
with tarfile.open(source, "r:") as tar:
    files = {member.name: tar.extractfile(member).read() for member in tar}
manifest = json.loads(files["manifest.json"])
lines = files["events.jsonl"].splitlines(keepends=True)
answer = next(n for n, line in enumerate(lines) if b'"kind":"approval.answered"' in line)
if forgery == "drop":
    del lines[5]
elif forgery == "swap":
    lines[5], lines[6] = lines[6], lines[5]
elif forgery == "repeat":
    lines.insert(5, lines[5])
elif forgery == "retitle":
    lines[0] = lines[0].replace(b'"title":"', b'"title":"x')
elif forgery == "end":
    del lines[-1]
elif forgery == "cut":
    lines.append(lines[-1].rstrip(b"\n"))
elif forgery in ("role", "ends", "calls", "account"):
    # The signature stays, and everything from its answer on is hashed anew: the last one, so that no later signature is
    # over another chain.
    answer = max(n for n, line in enumerate(lines) if b'"kind":"approval.answered"' in line)
    change = {"role": ("role", "requester"), "ends": ("expires", "2099-01-01T00:00:00Z"), "calls": ("calls", ["sha256:" + "0" * 64])}
    prev = None
    for n in range(answer, len(lines)):
        event = json.loads(lines[n])
        if n == answer:
            if forgery == "account": event["actor"]["person"]["os_user"], event["body"]["os_user"] = "another", event["actor"]["person"]["os_user"]
            else: event["body"][change[forgery][0]] = change[forgery][1]
        event["prev"] = prev or event["prev"]
        del event["hash"]
        write = lambda: json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        event["hash"] = prev = "sha256:" + hashlib.sha256(write()).hexdigest()
        lines[n] = write() + b"\n"
    manifest["head"] = prev
elif forgery == "name":
    manifest["engagement"] = "zzzzz"
files["events.jsonl"] = b"".join(lines)
if forgery == "blob":
    name = next(name for name in files if name.startswith("blobs/"))
    files[name] += b" "
elif forgery == "signature":
    other = next(n for n, line in enumerate(lines) if n > answer and b'"kind":"approval.answered"' in line)
    files[f"signatures/{answer + 1}.sig"] = files[f"signatures/{other + 1}.sig"]
elif forgery == "stranger":
    # The same statement, signed by a key that nobody knows, beside signers who name it.
    name = f"signatures/{answer + 1}"
    with tempfile.TemporaryDirectory() as temp:
        keygen = lambda *args, **more: subprocess.run(["ssh-keygen", "-q", *args], check=True, capture_output=True, **more).stdout
        keygen("-t", "ed25519", "-N", "", "-f", temp + "/key")
        public = open(temp + "/key.pub").read()
        said = keygen("-Y", "sign", "-n", "countersign-gate", "-f", temp + "/key", input=files[name + ".json"])
    who = json.loads(lines[answer])["actor"]["person"]["name"]
    files[name + ".sig"], files[name + ".allowed_signers"] = said, f"{who} {public}".encode()
elif forgery == "missing":
    del files[f"signatures/{answer + 1}.sig"]
elif forgery == "statement":
    files[f"signatures/{answer + 1}.json"] += b" "
del files["manifest.json"]
manifest["files"] = [
    {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for path, data in sorted(files.items())
]
files["manifest.json"] = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
    for path in sorted(files, key=lambda path: (path != "manifest.json", path)):
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(files[path]), 0o644
        tar.addfile(member, io.BytesIO(files[path]))
# As `countersign export` ends it: two empty blocks and nothing more.
data = out.getvalue().rstrip(b"\0")
open(target, "wb").write(data.ljust(-(-len(data) // 512) * 512 + 1024, b"\0"))
