r"""The formats of keys and credentials that are looked for in text (docs/privacy.md, "Formats").

What their issuers document of them, as detect-secrets (https://github.com/Yelp/detect-secrets) and gitleaks have it
(https://github.com/gitleaks/gitleaks); the expressions are our own. Each begins with characters that hardly stand
anywhere else, and none can take longer than in proportion to the text. A secret may stand in JSON within JSON, so that
``\n`` and ``\"`` may be two characters or more.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Token(NamedTuple):
    """A key that is known by how it begins.

    Attributes:
        kind: What the reader of a file is told.
        beginnings: The characters that it begins with, one of these.
        rest: A regular expression for what follows.
        looks_right: What else must hold, where ordinary names could begin so.
    """

    kind: str
    beginnings: tuple[str, ...]
    rest: str
    looks_right: Callable[[str], bool] | None = None


def is_random(text: str) -> bool:
    """Say whether text is made of letters and digits as a random key is, not as a name is."""
    digits = sum(map(str.isdigit, text))
    if digits == len(text):
        return False
    return digits >= 4 or (digits >= 1 and text != text.lower() and text != text.upper())


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


_W = r"[A-Za-z0-9_-]"  # base64url
_A = r"[A-Za-z0-9]"
_X = r"[0-9a-fA-F]"
_UUID = rf"{_X}{{8}}-{_X}{{4}}-{_X}{{4}}-{_X}{{4}}-{_X}{{12}}"

TOKENS = (
    Token("anthropic-key", ("sk-ant-",), rf"{_W}{{16,}}", _has_digit),
    Token("openai-key", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-service-"), rf"{_W}{{20,}}", is_random),
    Token("openrouter-key", ("sk-or-",), rf"{_W}{{20,}}", is_random),
    Token("langfuse-key", ("sk-lf-", "pk-lf-"), rf"{_X}[0-9a-fA-F-]{{20,}}"),
    Token("api-key", ("sk-",), rf"{_W}{{17,}}", is_random),  # OpenAI's older ones, DeepSeek, Moonshot, LiteLLM and more
    Token("stripe-key", ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_"), rf"{_A}{{12,}}"),
    Token("webhook-secret", ("whsec_",), r"[A-Za-z0-9+/=_-]{20,}"),
    Token("elevenlabs-key", ("sk_",), rf"{_X}{{40,}}"),
    Token("groq-key", ("gsk_",), rf"{_A}{{20,}}"),
    Token("xai-key", ("xai-",), rf"{_A}{_W}{{19,}}", is_random),
    Token("perplexity-key", ("pplx-",), rf"{_A}{{20,}}"),
    Token("huggingface-token", ("hf_", "api_org_"), rf"{_A}{{20,}}"),
    Token("replicate-token", ("r8_",), rf"{_A}{{20,}}"),
    Token("fireworks-key", ("fw_",), rf"{_A}{{20,}}", is_random),
    Token("together-key", ("tgp_v1_",), rf"{_W}{{20,}}"),
    Token("nvidia-key", ("nvapi-",), rf"{_W}{{20,}}"),
    Token("cerebras-key", ("csk-",), rf"{_A}{{20,}}"),
    Token("tavily-key", ("tvly-",), rf"{_W}{{20,}}", _has_digit),
    Token("langsmith-key", ("lsv2_pt_", "lsv2_sk_", "ls__"), r"[A-Za-z0-9_]{20,}", _has_digit),
    Token("pinecone-key", ("pcsk_",), r"[A-Za-z0-9_]{20,}"),
    Token("voyage-key", ("pa-",), rf"{_W}{{40,}}", is_random),
    Token("jina-key", ("jina_",), rf"{_W}{{20,}}", is_random),
    Token("google-api-key", ("AIza",), rf"{_W}{{30,}}"),
    Token("google-api-key", ("AQ.A",), rf"{_W}{{30,}}"),
    Token("google-oauth-token", ("ya29.",), rf"{_W}{{20,}}(?:\.{_W}+)*"),
    Token("google-oauth-token", ("1//0",), rf"{_W}{{30,}}", is_random),
    Token("google-client-secret", ("GOCSPX-",), rf"{_W}{{20,}}"),
    Token("aws-access-key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z0-9]{16,}"),
    Token("aws-access-key", ("A3T",), r"[A-Z0-9]{17,}", is_random),
    Token("aws-bedrock-key", ("ABSK", "bedrock-api-key-"), r"[A-Za-z0-9+/=_-]{60,}"),
    Token("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9_]{20,}"),
    Token("github-token", ("github_pat_",), r"[A-Za-z0-9_]{20,}"),
    Token(
        "gitlab-token",
        (
            *("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "glrtr-", "glcbt-", "glimt-", "glptt-", "glagent-"),
            *("gloas-", "glffct-", "GR1348941"),
        ),
        r"[A-Za-z0-9_.-]{16,}",
    ),
    Token(
        "slack-token",
        ("xoxa-", "xoxb-", "xoxe-", "xoxe.xox", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xoxc-", "xoxd-", "xapp-"),
        r"[A-Za-z0-9%/+=-]{15,}",
        _has_digit,
    ),
    Token(
        "slack-webhook",
        ("hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"),
        r"[A-Za-z0-9_/+]{20,}",
        _has_digit,
    ),
    Token("discord-webhook", ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"), rf"\d{{1,30}}/{_W}{{20,}}"),
    Token("jwt", ("eyJ",), rf"{_W}{{8,4000}}(?:\.{_W}*){{2,4}}"),
    Token("mapbox-token", ("sk.eyJ", "pk.eyJ", "tk.eyJ"), rf"{_W}{{10,1000}}\.{_W}{{10,}}"),
    Token("sendgrid-key", ("SG.",), rf"{_W}{{16,100}}\.{_W}{{16,}}"),
    Token("mailgun-key", ("key-",), rf"{_X}{{32,}}"),
    Token("npm-token", ("npm_",), rf"{_A}{{36,}}"),
    Token("pypi-token", ("pypi-AgE",), rf"{_W}{{16,}}"),
    Token("rubygems-key", ("rubygems_",), rf"{_X}{{40,}}"),
    Token("twilio-key", ("SK",), r"[0-9a-f]{32}(?![0-9a-zA-Z])"),
    Token("digitalocean-token", ("dop_v1_", "doo_v1_", "dor_v1_"), rf"{_X}{{32,}}"),
    Token("databricks-token", ("dapi",), rf"{_X}{{32,}}"),
    Token("shopify-token", ("shpat_", "shpca_", "shppa_", "shpss_"), rf"{_X}{{32,}}"),
    Token("square-token", ("sq0atp-", "sq0csp-", "EAAA"), rf"{_W}{{22,}}", is_random),
    Token("linear-key", ("lin_api_", "lin_oauth_"), rf"{_A}{{32,}}"),
    Token("notion-token", ("ntn_",), rf"{_A}{{40,}}"),
    Token("figma-token", ("figd_", "figu_"), rf"{_W}{{36,}}"),
    Token("atlassian-token", ("ATATT3", "ATCTT3", "ATBB"), r"[A-Za-z0-9_=-]{24,}", is_random),
    Token("docker-token", ("dckr_pat_", "dckr_oat_"), rf"{_W}{{20,}}"),
    Token("vault-token", ("hvs.", "hvb.", "hvr."), rf"{_W}{{20,}}"),
    Token("newrelic-key", ("NRAK-", "NRII-", "NRAA-"), rf"{_W}{{20,}}"),
    Token("grafana-token", ("glc_", "glsa_"), r"[A-Za-z0-9_+/=]{32,}"),
    Token("sentry-token", ("sntrys_", "sntryu_"), r"[A-Za-z0-9_+/=-]{40,}"),
    Token("supabase-key", ("sbp_", "sb_secret_"), rf"{_W}{{20,}}", is_random),
    Token("planetscale-token", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), r"[A-Za-z0-9_.=-]{32,}"),
    Token("postman-key", ("PMAK-",), rf"{_X}{{24,60}}-{_X}{{20,}}"),
    Token("doppler-token", ("dp.pt.", "dp.st.", "dp.sa.", "dp.ct.", "dp.scim.", "dp.audit."), r"[A-Za-z0-9_.-]{40,}"),
    Token("fly-token", ("fo1_", "fm1_", "fm2_", "fm1r_", "fm1a_"), r"[A-Za-z0-9_+/=-]{40,}"),
    Token("heroku-key", ("HRKU-",), rf"{_W}{{30,}}"),
    Token("hubspot-token", ("pat-na1-", "pat-na2-", "pat-eu1-"), _UUID),
    Token("contentful-token", ("CFPAT-",), rf"{_W}{{40,}}"),
    Token("typeform-token", ("tfp_",), r"[A-Za-z0-9_.=-]{40,}"),
    Token("onepassword-token", ("ops_eyJ", "A3-"), rf"{_W}{{24,}}", is_random),
    Token("artifactory-token", ("AKCp", "cmVmdGtu"), rf"{_A}{{50,}}"),
    Token("age-key", ("AGE-SECRET-KEY-1",), r"[0-9A-Z]{50,}"),
)

# Where a word begins; not at the letter of an escape, which has to stay.
_LEFT = r"(?:(?<![A-Za-z0-9\\])|(?<=\\[abfnrtv0])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
# Keys that are known by something in their midst.
INNER = (
    ("openai-key", re.compile(rf"{_LEFT}{_W}{{10,}}T3BlbkFJ{_W}{{10,}}")),
    ("azure-key", re.compile(rf"{_LEFT}{_A}{{40,60}}JQQJ99{_A}{{20,40}}")),
    ("azure-client-secret", re.compile(rf"{_LEFT}[A-Za-z0-9_~.]{{3}}[0-9]Q~[A-Za-z0-9_~.-]{{31,36}}")),
    ("mailchimp-key", re.compile(rf"{_LEFT}[0-9a-f]{{32}}-us[0-9]{{1,2}}(?![0-9])")),
    ("discord-token", re.compile(rf"{_LEFT}[MNO]{_W}{{23,27}}\.{_W}{{6}}\.{_W}{{27,40}}(?!{_W})")),
    ("telegram-token", re.compile(rf"{_LEFT}[0-9]{{8,10}}:AA{_W}{{32,35}}(?!{_W})")),
    ("terraform-token", re.compile(rf"{_LEFT}{_A}{{14}}\.atlasv1\.{_W}{{40,80}}")),
    ("airtable-token", re.compile(rf"{_LEFT}pat{_A}{{14}}\.[0-9a-f]{{64}}")),
)
# What a text must have for one of these to be looked for, in the same order.
INNER_MARKS = ("T3BlbkFJ", "JQQJ99", "Q~", "-us", ".", ":AA", ".atlasv1.", "pat")

# A backslash and a letter, a percent and two digits: a character of another level, not the end of a word.
ESCAPE_BEFORE = re.compile(r"(?:\\[abfnrtv0]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2})\Z")

_NEWLINE = r"(?:\s|\\+[nrt])"
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[A-Za-z0-9+/=\s,:.()\\]|-(?!----)){0,20000}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"|(?:{_NEWLINE}{{0,40}}[A-Za-z0-9+/=]{{16,}})+)"
    rf"|Private-Lines: \d{{1,4}}(?:{_NEWLINE}{{0,40}}[A-Za-z0-9+/=]{{16,}})+"
)
PRIVATE_KEY_MARKS = ("PRIVATE KEY", "Private-Lines")

_QUOTE = r"\\{0,63}[\"'`]"
_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|client[_-]?secret|secret(?:[_-]?(?:access[_-]?)?key|[_-]?token)?|api[_-]?(?:secret|token|key)"
    r"|(?:access|account|auth|shared[_-]?access|private|signing|encryption|subscription|master|service[_-]?role)[_-]?key"
    r"|(?:access|auth|bearer|refresh|session|security|id)[_-]?token|sharedaccesssignature|connection[_-]?string"
    r"|(?:proxy-)?authorization|credential|(?:set-)?cookie)"
)
# By these small letters the names are found; what stands before them is part of a longer name.
NAME_STEMS = (
    *("password", "passwd", "passphrase", "pwd", "secret", "apikey", "api_key", "api-key", "api_token", "apitoken"),
    *("api-token", "accesskey", "access_key", "access-key", "accountkey", "account_key", "auth_key", "authkey"),
    *("private_key", "privatekey", "signing_key", "signingkey", "encryption_key", "encryptionkey", "master_key"),
    *("subscription-key", "subscription_key", "subscriptionkey", "service_role_key", "masterkey"),
    *("access_token", "accesstoken", "access-token", "auth_token", "authtoken", "auth-token", "bearer_token"),
    *("refresh_token", "refreshtoken", "session_token", "sessiontoken", "security_token", "securitytoken"),
    *("security-token", "id_token", "idtoken", "sharedaccesssignature", "connection_string", "connectionstring"),
    *("authorization", "credential", "cookie"),
)
_SCHEME = r"(?:(?:basic|digest|bearer|token|apikey)\s{1,3})?"
_NOT_MASKED = r"(?!\[REDACTED|[^\s\"']{0,8}\*\*\*)"
_ASSIGNED = r"\s{0,3}(?::=|=>|[:=])\s{0,3}"
# A name and, in quotes, its value: of an object, of a call's argument, of an assignment.
QUOTED = re.compile(
    rf"{_NAMES}(?:{_QUOTE}\]?|\])?{_ASSIGNED}[bruf]?{_QUOTE}{_SCHEME}{_NOT_MASKED}"
    r"(?P<secret>[^\s\"'`\\<>{}(),;]{6,2000})(?=\\{0,63}[\"'`])",
    re.IGNORECASE,
)
# The same without quotes, where the value looks like no word of a program.
BARE = re.compile(
    rf"{_NAMES}(?:{_QUOTE})?{_ASSIGNED}{_SCHEME}{_NOT_MASKED}(?P<secret>[A-Za-z0-9_+/.~=!@#%^&*-]{{8,512}})(?![\w(\[])",
    re.IGNORECASE,
)
AWS_SECRET = re.compile(
    r"(?:secret[ _-]?access[ _-]?key|aws[ _-]?secret(?:[ _-]?key)?)[^A-Za-z0-9/+]{1,20}"
    r"(?:[nrt](?=[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])))?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    re.IGNORECASE,
)
COOKIE = re.compile(
    rf"(?:set-)?cookie(?:{_QUOTE})?:\s{{0,3}}(?:{_QUOTE})?{_NOT_MASKED}"
    r"(?P<secret>[A-Za-z0-9_.-]{1,100}=[^\r\n\"'`\\]{6,4000})",
    re.IGNORECASE,
)
BEARER = re.compile(
    rf"bearer(?:\s|%20|\\+[nrt]){{1,4}}(?:{_QUOTE})?{_NOT_MASKED}(?P<secret>[A-Za-z0-9._~+/=-]{{8,}})", re.IGNORECASE
)
_SHORTEST_WORDY_BEARER = 32


def is_bearer(text: str) -> bool:
    """Say whether what follows "Bearer" is a credential, not a word."""
    return _has_digit(text) or len(text) >= _SHORTEST_WORDY_BEARER


_FIRST_OF_TEMPLATE = ("$", "%", "*")


def is_value(text: str) -> bool:
    """Say whether what a name is given in quotes is a value, not a template's variable."""
    return not text.startswith(_FIRST_OF_TEMPLATE)


# The names where they are the end of an object's key, or all of it.
_SECRET_KEY = re.compile(
    rf"(?:[\w.-]{{0,80}}[_.-])?{_NAMES}s?|\w{{0,80}}(?:ApiKey|AccessKey|SecretKey|AccessToken|Password)", re.IGNORECASE
)


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Say whether an object's key tells that its value is a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


_SHORTEST_VALUE = 6
_MASKED_VALUE = re.compile(r"\[REDACTED|(?:\w{1,20}\s+)?\S{0,8}\*\*\*")


def is_secret_value(text: str) -> bool:
    """Say whether the value of a secret's key is to be taken out: not where it says nothing, or is masked already."""
    return len(text) >= _SHORTEST_VALUE and not _MASKED_VALUE.match(text)
