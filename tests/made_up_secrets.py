"""Secrets of every supported kind, in valid formats and made up anew at run time: this file holds none itself."""

from __future__ import annotations

import base64
import json
import random
import string
from functools import partial

_ALNUM = string.ascii_letters + string.digits
_URL64 = _ALNUM + "_-"
_HEX = "0123456789abcdef"
_BASE64 = _ALNUM + "+/"


class Maker:
    """Makes secrets, always the same ones for a seed."""

    def __init__(self, seed: int = 8) -> None:
        self._random = random.Random(seed)

    def letters(self, alphabet: str, count: int) -> str:
        """Return random letters, a digit, a small and a capital letter among them where the alphabet has such."""
        while True:
            text = "".join(self._random.choices(alphabet, k=count))
            kinds = (str.isdigit, str.islower, str.isupper)
            wanted = [kind for kind in kinds if any(map(kind, alphabet))]
            if all(any(map(kind, text)) for kind in wanted) and text[0] in _ALNUM and text[-1] in _ALNUM:
                return text

    def part(self, value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def make_tokens(seed: int = 8) -> dict[str, str]:
    """Return secrets that are known wherever they stand, by a name of their format."""
    make = Maker(seed)
    a, u, x, b = (partial(make.letters, alphabet) for alphabet in (_ALNUM, _URL64, _HEX, _BASE64))
    upper = string.ascii_uppercase + string.digits
    header, claims = make.part({"alg": "HS256", "typ": "JWT"}), make.part({"sub": a(10), "iat": 1516239022})
    lines = "\n".join(b(64) for _ in range(6))
    return {
        "anthropic": "sk-" + "ant-api03-" + u(93) + "AA",
        "openai project": "sk-" + "proj-" + u(74) + "T3Blbk" + "FJ" + u(74),
        "openai service account": "sk-" + "svcacct-" + u(58) + "T3Blbk" + "FJ" + u(58),
        "openai legacy": "sk-" + a(20) + "T3Blbk" + "FJ" + a(20),
        "openai of 48": "sk-" + a(48),
        "deepseek": "sk-" + x(32),
        "litellm": "sk-" + u(22),
        "openrouter": "sk-" + "or-v1-" + x(64),
        "groq": "gsk" + "_" + a(52),
        "xai": "xai" + "-" + a(80),
        "perplexity": "pplx" + "-" + a(48),
        "huggingface": "hf" + "_" + make.letters(string.ascii_letters, 34),
        "replicate": "r8" + "_" + a(37),
        "nvidia": "nvapi" + "-" + u(64),
        "google api": "AI" + "za" + u(35),
        "google oauth": "ya" + "29." + u(120),
        "google client": "GOC" + "SPX-" + u(28),
        "aws id": "AK" + "IA" + make.letters(upper, 16),
        "aws session id": "AS" + "IA" + make.letters(upper, 16),
        "github": "gh" + "p_" + a(36),
        "github fine-grained": "github" + "_pat_" + a(22) + "_" + a(59),
        "github app": "gh" + "s_" + a(36),
        "gitlab": "gl" + "pat-" + u(20),
        "slack bot": "xo" + "xb-" + make.letters("123456789", 12) + "-" + make.letters("123456789", 13) + "-" + a(24),
        "slack app": "xa" + "pp-1-" + make.letters(upper, 11) + "-" + make.letters("123456789", 13) + "-" + x(64),
        "slack webhook": "https://hooks." + f"slack.com/services/T{a(9)}/B{a(9)}/{a(24)}",
        "stripe": "sk" + "_live_" + a(24),
        "stripe restricted": "rk" + "_live_" + a(99),
        "sendgrid": "S" + "G." + u(22) + "." + u(43),
        "twilio": "S" + "K" + x(32),
        "mailgun": "ke" + "y-" + x(32),
        "mailchimp": x(32) + "-us" + "12",
        "npm": "np" + "m_" + a(36),
        "pypi": "pypi" + "-AgEIcHlwaS5vcmc" + u(80),
        "jwt": f"{header}.{claims}.{u(43)}",
        "discord": "M" + u(23) + "." + u(6) + "." + u(27),
        "telegram": make.letters("123456789", 10) + ":A" + "A" + u(33),
        "digitalocean": "dop" + "_v1_" + x(64),
        "databricks": "da" + "pi" + x(32),
        "shopify": "shp" + "at_" + x(32),
        "linear": "lin" + "_api_" + a(40),
        "vault": "hv" + "s." + u(90),
        "azure ad": a(3) + "8Q" + "~" + a(34),
        "figma": "fig" + "d_" + u(40),
        "docker": "dckr" + "_pat_" + u(27),
        "rsa key": "-----BEGIN RSA " + f"PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----",
        "openssh key": "-----BEGIN OPENSSH " + f"PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----",
        "pgp key": "-----BEGIN PGP " + f"PRIVATE KEY BLOCK-----\n\n{lines}\n=aBcD\n-----END PGP PRIVATE KEY BLOCK-----",
    }


def make_named(seed: int = 8) -> dict[str, tuple[str, str]]:
    """Return texts around secrets that are known by what stands before them, and these secrets."""
    make = Maker(seed)
    aws = make.letters(_BASE64, 40)
    azure = make.letters(_BASE64, 86) + "=="
    opaque, bearer, password = make.letters(_ALNUM, 32), make.letters(_URL64, 24), make.letters(_ALNUM, 12)
    return {
        "bearer": (f"Authorization: Bearer {bearer}", bearer),
        "bearer in words": (f"send it as bearer {bearer} please", bearer),
        "basic": (f"Authorization: Basic {opaque}", opaque),
        "aws secret": (f"aws_secret_access_key = {aws}", aws),
        "aws secret, exported": (f"export AWS_SECRET_ACCESS_KEY={aws}", aws),
        "aws secret in JSON": (f'{{"SecretAccessKey": "{aws}"}}', aws),
        "azure storage": (f"DefaultEndpointsProtocol=https;AccountName=n;AccountKey={azure};EndpointSuffix=s", azure),
        "key in JSON": (f'{{"api_key": "{opaque}"}}', opaque),
        "key in JSON in JSON": (json.dumps(json.dumps({"api_key": opaque})), opaque),
        "key in an environment": (f"MISTRAL_API_KEY={opaque}\nOTHER=1", opaque),
        "password in JSON": (f'{{"user": "u", "password": "{password}"}}', password),
        "URL with a password": (f"postgres://app:{password}@db.internal:5432/app", password),
        "URL with a key": (f"GET https://api.example.com/v1/models?key={opaque}&x=1 failed", opaque),
        "signed URL": (f"https://b.s3.example.com/o?X-Amz-Signature={opaque}&X-Amz-Date=2", opaque),
        "cookie": (f"Cookie: session={opaque}; theme=dark", opaque),
    }
