#!/usr/bin/env python3
"""Checks in-toto statements in DSSE envelopes with Python's own library and openssl: check_intoto.py FILE KEYS...

FILE is what `countersign export ID --in-toto FILE` wrote. KEYS is a file with what `countersign keys show` says, or a
vkey itself. What is printed are the sums of the artifacts, as `sha256sum --check` takes them."""
import base64, json, subprocess, sys, tempfile

def wrong(place, why): sys.exit(f"{place}: {why}")
def decoded(text):
    data = base64.b64decode(text, validate=True)
    return data if base64.b64encode(data).decode() == text else wrong("base64", "is written in another way than it is")

def no_envelope(kind, error, _): wrong(sys.argv[1], f"is no list of envelopes: {kind.__name__}: {error}")
if len(sys.argv) < 3:
    print("usage: check_intoto.py FILE KEYS...\n\n" + __doc__.split("\n\n", 1)[1], file=sys.stderr)
    sys.exit(2)
def keys_of(word):
    try: lines = open(word, encoding="utf-8").read().splitlines()
    except FileNotFoundError: return [word]
    return [line for line in lines if line.count("+") > 1 and " " not in line] or wrong(word, "has no key in it")
keys = [key for word in sys.argv[2:] for key in keys_of(word)]
sys.excepthook = no_envelope
number = 0
for number, line in enumerate(open(sys.argv[1], "rb"), 1):
    place = f"line {number}"
    try:
        envelope = json.loads(line)
        kind, payload = envelope["payloadType"].encode(), decoded(envelope["payload"])
        [signature] = envelope["signatures"]
        keyid, signed = signature["keyid"], decoded(signature["sig"])
    except (ValueError, KeyError, TypeError, AttributeError) as error: wrong(place, f"is no envelope: {error}")
    if keyid not in keys: wrong(place, f"is signed by {keyid}, which is none of the keys given")
    # A vkey is NAME+HASH+BASE64 of a byte that says Ed25519 and the key's 32 bytes; openssl wants them in DER.
    key = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(keyid.split("+", 2)[2])[1:]
    with tempfile.TemporaryDirectory() as temp:
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        for name, data in {"key": key, "sig": signed, "message": message}.items(): open(f"{temp}/{name}", "wb").write(data)
        ok = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", temp + "/key",
            "-rawin", "-in", temp + "/message", "-sigfile", temp + "/sig"], capture_output=True)
    if ok.returncode: wrong(place, "has a signature that does not hold")
    statement = json.loads(payload)
    if kind != b"application/vnd.in-toto+json" or statement["_type"] != "https://in-toto.io/Statement/v1":
        wrong(place, "is no in-toto statement")
    for subject in statement["subject"]: print(subject["digest"]["sha256"], "", subject["name"])
if not number: wrong(sys.argv[1], "has no envelope")
