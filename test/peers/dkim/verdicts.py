"""Judges mails with Debian's verifiers: a JSON case a line in, a JSON verdict a
line out. sitecustomize.py beside it says which name server they ask."""
import base64
import functools
import json
import logging
import sys

import authheaders
import authheaders.dmarc_lookup
import authres
import dkim
import spf

logging.disable(logging.CRITICAL)
# It would read the public suffix list again for every question.
authheaders.get_org_domain = functools.lru_cache(None)(authheaders.get_org_domain)
authheaders.dmarc_lookup.get_org_domain = authheaders.get_org_domain


def judge_dkim(mail):
    signer = dkim.DKIM(mail)
    try:
        ok = signer.verify()
    except Exception:  # malformed input raises all kinds
        ok = False
    return "pass" if ok else "not-pass", signer.signature_fields.get(b"d", b"").decode("ascii", "replace")


for line in sys.stdin:
    case = json.loads(line)
    mail = base64.b64decode(case["mail"])
    sender = spf.check2(case["ip"], case["from"], case["helo"])[0]
    word, domain = judge_dkim(mail)
    verdict = authheaders.dmarc_per_from(
        case["author"],
        authres.SPFAuthenticationResult(result=sender, smtp_mailfrom=case["from"]),
        authres.DKIMAuthenticationResult(result="pass" if word == "pass" else "fail", header_d=domain),
    )
    print(json.dumps({"spf": sender, "dkim": word, "dmarc": verdict[0]}), flush=True)
