#!/usr/bin/env python3
"""Checks in-toto statements in DSSE envelopes with Python's own library and openssl: check_intoto.py FILE VKEY..."""
import base64, json, subprocess, sys, tempfile

def wrong(place, why): sys.exit(f"{place}: {why}")
def decoded(text):
    data = base64.b64decode(text, validate=True)
    return data if base64.b64encode(data).decode() == text else wrong("base64", "is written in another way than it is")

def no_envelope(kind, error, _): wrong(sys.argv[1], f"is no list of envelopes: {kind.__name__}: {error}")
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
    if keyid not in sys.argv[2:]: wrong(place, f"is signed by {keyid}, which is none of the keys given")
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
